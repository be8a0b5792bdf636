"""The chore that rotates by policy: recorded before and after, once a period, tried again when it fails."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from ronkms.domain.key import Key
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import AuditUnavailable, BackendUnavailable, Conflict
from ronkms.service.rotation import FIRST_WAIT_SECONDS, PRINCIPAL
from tests.fakes.api import FakeApi

PERIOD = 3600


@pytest.fixture
def api(tmp_path: Path) -> FakeApi:
    return FakeApi(tmp_path)


def aging(api: FakeApi, key_id: str) -> int:
    """Makes a key that is rotated by its policy, many periods ago; when it was due first."""
    api.create("Ed25519", key_id, policy={"rotation_period_seconds": PERIOD})
    key = api.store.get("default", key_id)
    made = key.versions[1].created_at - 10 * PERIOD
    key.versions[1] = msgspec.structs.replace(key.versions[1], created_at=made)
    return made + PERIOD


def versions(api: FakeApi, key_id: str) -> int:
    count: int = api.get(f"keys/{key_id}").json["version_count"]
    return count


def test_once_a_period_recorded_and_told(api: FakeApi) -> None:
    due = aging(api, "k")
    api.create("Ed25519", "other")
    assert api.service.rotate_due(due - 1) == 0
    assert api.service.rotate_due(due + 8 * PERIOD) == 1
    assert api.service.rotate_due(due + 8 * PERIOD) == 0
    assert (versions(api, "k"), versions(api, "other")) == (2, 1)
    assert api.post("sign", {"key_id": "k", "message": ""}).json["key_version"] == 2
    by_the_chore = [record for record in api.audit.records if record["token_id"] == PRINCIPAL]
    assert [(record["op"], record["phase"], record["key_version"]) for record in by_the_chore] == [
        (Operation.ROTATE, "intent", 2),
        (Operation.ROTATE, "outcome", 2),
    ]
    assert api.bus.events[-1] == (
        "KeyRotated",
        {"tenant": "default", "key_id": "k", "key_version": 2, "alg": "Ed25519", "corr_id": PRINCIPAL},
    )


def test_one_that_fails_is_recorded_and_tried_again(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    due = max(aging(api, "a"), aging(api, "b"))
    add_version = api.store.add_version

    def fails_for_a(tenant: str, key_id: str, **more: object) -> Key:
        if key_id == "a":
            raise BackendUnavailable("disk")
        return add_version(tenant, key_id, **more)

    monkeypatch.setattr(api.store, "add_version", fails_for_a)
    assert api.service.rotate_due(due) == 1
    failed = [record for record in api.audit.records if record["outcome"] is Outcome.ERROR]
    assert [(record["key_id"], record["phase"], record["code"]) for record in failed] == [
        ("a", "outcome", "backend_unavailable")
    ]
    assert api.counter("kms_rotation_failed_total") == 1
    assert api.arena.snapshot().gauges["kms_rotation_failing"] == 1
    monkeypatch.undo()
    assert api.service.rotate_due(due + FIRST_WAIT_SECONDS - 1) == 0
    assert api.service.rotate_due(due + FIRST_WAIT_SECONDS) == 1
    assert api.arena.snapshot().gauges["kms_rotation_failing"] == 0
    assert (versions(api, "a"), versions(api, "b")) == (2, 2)


def test_attempts_come_less_and_less_often(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    due = aging(api, "k")

    def fails(*_: object, **__: object) -> Key:
        raise BackendUnavailable("disk")

    monkeypatch.setattr(api.store, "add_version", fails)
    failed: list[int] = []
    for second in range(0, 24_000, 5):
        before = api.counter("kms_rotation_failed_total")
        assert api.service.rotate_due(due + second) == 0
        failed += [second] * (api.counter("kms_rotation_failed_total") - before)
    waits = [later - earlier for earlier, later in pairwise(failed)]
    assert waits == [5 * 2**step for step in range(10)] + [3600] * 5
    events = [fields for event, fields in api.bus.events if event == "RotationFailed"]
    assert [fields["attempts"] for fields in events] == list(range(1, len(failed) + 1))
    assert events[1] == {
        "tenant": "default",
        "key_id": "k",
        "code": "backend_unavailable",
        "attempts": 2,
        "next_in_seconds": 10,
    }
    # What was rotated by hand is forgotten, and so is a clock that ran ahead.
    monkeypatch.undo()
    assert api.service.rotate_due(due) == 1


def test_what_is_refused_again_and_again_is_a_failure(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    due = aging(api, "k")

    def refuses(*_: object, **__: object) -> Key:
        raise Conflict("another reason")

    monkeypatch.setattr(api.store, "add_version", refuses)
    api.service.rotate_due(due)
    assert api.counter("kms_rotation_failed_total") == 0
    api.service.rotate_due(due + FIRST_WAIT_SECONDS)
    assert api.counter("kms_rotation_failed_total") == 1


def test_nothing_is_rotated_unrecorded(api: FakeApi) -> None:
    due = aging(api, "k")
    api.audit.closed_from = len(api.audit.records)
    with pytest.raises(AuditUnavailable):
        api.service.rotate_due(due)
    assert len(api.store.get("default", "k").versions) == 1


@pytest.mark.parametrize("change", ["rotate", "policy", "disable"])
def test_a_change_since_the_list_was_made_wins(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    due = aging(api, "k")
    listed = [api.store.get("default", "k")]
    monkeypatch.setattr(api.store, "due_for_rotation", lambda now: listed)
    add_version = api.store.add_version

    def after_the_change(tenant: str, key_id: str, **more: object) -> Key:
        monkeypatch.undo()
        match change:
            case "rotate":
                api.post("rotate", {"key_id": "k"})
            case "policy":
                api.post("keys/k/policy", {"rotation_period_seconds": None})
            case "disable":
                api.post("keys/k/disable")
        return add_version(tenant, key_id, **more)

    monkeypatch.setattr(api.store, "add_version", after_the_change)
    assert api.service.rotate_due(due) == 0
    assert versions(api, "k") == (2 if change == "rotate" else 1)
    outcomes = [record for record in api.audit.records if record["token_id"] == PRINCIPAL]
    assert [(record["phase"], record["outcome"]) for record in outcomes] == [
        ("intent", Outcome.OK),
        ("outcome", Outcome.REJECTED),
    ]
    assert api.counter("kms_rotation_failed_total") == 0


def test_a_damaged_key_is_skipped_and_told_once(api: FakeApi) -> None:
    due = aging(api, "k")
    api.store.damage("default", "k")
    for _ in range(2):
        assert api.service.rotate_due(due) == 0
    assert versions(api, "k") == 1
    assert api.counter("kms_rotation_failed_total") == 1


def test_a_server_that_only_verifies_rotates_nothing(tmp_path: Path) -> None:
    api = FakeApi(tmp_path)
    due = aging(api, "k")
    verifier = FakeApi(tmp_path, verify_only=True)
    verifier.store.keys.update(api.store.keys)
    assert verifier.service.rotate_due(due) == 0
    assert len(verifier.store.get("default", "k").versions) == 1
