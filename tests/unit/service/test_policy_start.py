"""Other settings than at the last start: recorded, told, and never looser than a lock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import AuditUnavailable
from ronkms.policy.entry import DefaultsSet, Locked
from ronkms.policy.pq import VerifyMode
from ronkms.policy.registry import PolicyRegistry
from ronkms.service.policy_start import PRINCIPAL, adopt_defaults
from tests.fakes.anchors import FakeAnchors
from tests.fakes.audit import FakeAudit
from tests.fakes.bus import FakeBus
from tests.fakes.custody import FakeCustody
from tests.fakes.generation import SharedGeneration

OR, AND, PQ_ONLY = VerifyMode


class Start:
    """A start of the server with some settings."""

    def __init__(self, directory: Path) -> None:
        self.audit = FakeAudit()
        self.bus = FakeBus()
        self.registry = PolicyRegistry.open(
            directory, mac=FakeCustody().mac, signal=SharedGeneration().signal, anchors=FakeAnchors()
        )

    def adopt(self, mode: VerifyMode, percent: int = 0) -> bool:
        defaults = DefaultsSet(mode, percent > 0, percent, 1000)
        return adopt_defaults(self.registry, defaults, audit=self.audit, publish=self.bus.publish)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made = Start(tmp_path)
    yield made
    made.registry.close()


def test_a_change_is_recorded_with_both_values_and_told(start: Start) -> None:
    assert not start.adopt(AND)
    assert start.audit.records == []
    assert start.adopt(OR, 10)
    intent, outcome = start.audit.records
    assert (intent["op"], intent["token_id"]) == (Operation.ADMIN, PRINCIPAL)
    assert (intent["phase"], outcome["phase"], outcome["outcome"]) == ("intent", "outcome", Outcome.OK)
    assert intent["detail"] == outcome["detail"]
    assert intent["detail"] == (
        'policy.defaults entry=2 {"from":{"verify_mode":"and","produce_hybrid":false,"rollout_percent":0},'
        '"to":{"verify_mode":"or","produce_hybrid":true,"rollout_percent":10}}'
    )
    assert [event for event, _ in start.bus.events] == ["PolicyChanged", "ConfigUpdated"]
    assert start.bus.events[1][1] == {
        "pq_verify_mode": "or",
        "pq_produce_hybrid": "true",
        "pq_rollout_percent": 10,
    }
    assert start.registry.decide("acme", "k").rollout_percent == 10


def test_the_next_start_with_the_same_settings_says_nothing(start: Start, tmp_path: Path) -> None:
    start.adopt(PQ_ONLY, 10)
    again = Start(tmp_path)
    assert not again.adopt(PQ_ONLY, 10)
    assert again.adopt(PQ_ONLY, 11)
    assert len(again.audit.records) == 2
    again.registry.close()


def test_without_a_record_nothing_changes(start: Start) -> None:
    start.audit.closed_from = 0
    with pytest.raises(AuditUnavailable):
        start.adopt(OR)
    assert start.registry.decide("acme", "k").mode is AND


def test_settings_never_loosen_a_lock(start: Start) -> None:
    start.registry.change(
        lambda state: Locked(tenant="acme", verify_mode=AND, classical_excluded=False, at=state.now())
    )
    start.adopt(OR)
    assert start.registry.decide("acme", "k").mode is AND
    assert start.registry.decide("other", "k").mode is OR
    start.adopt(PQ_ONLY)
    start.adopt(OR)
    assert start.registry.decide("acme", "k").accept.classical_excluded
