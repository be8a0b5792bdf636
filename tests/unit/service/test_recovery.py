"""Each intent without an outcome is given the one that the store shows, or it is said that nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from ronkms.audit.intents import Phase
from ronkms.domain.operation import Outcome
from ronkms.service.recovery import INTERRUPTED, Recovery
from tests.fakes.api import FakeApi

REVOKED = "ab" * 16


@pytest.fixture
def api(tmp_path: Path) -> FakeApi:
    made = FakeApi(tmp_path)
    made.create("Ed25519", "k")
    return made


def intent(op: str, seq: int = 100, **fields: str | int) -> Phase:
    values = {"tenant": "default", "token": "t", "corr_id": f"c-{seq}", "key_id": "k", "alg": "Ed25519"}
    return Phase(seq=seq, op=op, outcome="ok", phase="intent", **(values | fields))  # type: ignore[arg-type]


def outcome(op: str, seq: int = 200, **fields: str | int) -> Phase:
    values = {"tenant": "default", "token": "t", "corr_id": f"c-{seq}", "key_id": "k", "alg": "Ed25519"}
    return Phase(seq=seq, op=op, outcome="ok", phase="outcome", **(values | fields))  # type: ignore[arg-type]


def recover(api: FakeApi, *intents: Phase, done: tuple[Phase, ...] = ()) -> list[tuple[str, int]]:
    """(verdict, key version) as recorded."""
    before = len(api.audit.records)
    recovery = Recovery(store=api.store, audit=api.audit, is_revoked=lambda revoked: revoked == REVOKED)
    verdicts = recovery.recover(intents, done)
    records = api.audit.records[before:]
    assert sum(verdicts.values()) == len(records) == len(intents)
    found = []
    for record, about in zip(records, intents, strict=True):
        assert (record["op"], record["corr_id"], record["phase"]) == (about.op, about.corr_id, "outcome")
        verdict, _, detail = record["detail"].removeprefix("recovered: ").partition("; ")
        assert detail == about.detail
        committed = verdict == "committed"
        assert record["outcome"] is (Outcome.OK if committed else Outcome.ERROR)
        assert record["code"] == ("" if committed else INTERRUPTED)
        found.append((verdict, record["key_version"]))
    return found


def test_a_created_key(api: FakeApi) -> None:
    assert recover(api, intent("create")) == [("committed", 1)]
    assert recover(api, intent("import")) == [("committed", 1)]
    assert recover(api, intent("create", key_id="other")) == [("not committed", 0)]


def test_a_key_that_another_request_created(api: FakeApi) -> None:
    by_another = outcome("create", key_version=1)
    assert recover(api, intent("create"), done=(by_another,)) == [("not committed", 0)]
    assert recover(api, intent("create", alg="ES256")) == [("not committed", 0)]
    assert recover(api, intent("create", 1), intent("import", 2)) == [("unknown", 0)] * 2
    elsewhere = outcome("create", key_version=1, tenant="another")
    assert recover(api, intent("create"), done=(elsewhere,)) == [("committed", 1)]


@pytest.mark.parametrize("op", ["rotate", "import"])
def test_a_new_version(api: FakeApi, op: str) -> None:
    assert recover(api, intent(op, key_version=2)) == [("not committed", 2)]
    api.post("rotate", {"key_id": "k"})
    assert recover(api, intent(op, key_version=2)) == [("committed", 2)]
    assert recover(api, intent(op, key_version=2), done=(outcome("rotate", key_version=2),)) == [
        ("not committed", 2)
    ]
    assert recover(api, intent(op, 1, key_version=2), intent(op, 2, key_version=2)) == [("unknown", 2)] * 2


def test_a_new_version_that_came_after_anothers(api: FakeApi) -> None:
    for _ in range(2):
        api.post("rotate", {"key_id": "k"})
    by_another = outcome("rotate", key_version=2)
    assert recover(api, intent("rotate", key_version=2), done=(by_another,)) == [("committed", 3)]


@pytest.mark.parametrize("version", [0, 1])
def test_a_state(api: FakeApi, version: int) -> None:
    disable = intent("state", detail="state=disabled", key_version=version)
    assert recover(api, disable) == [("not committed", version)]
    api.post("keys/k/disable", {"key_version": version} if version else {})
    assert recover(api, disable) == [("committed", version)]
    assert recover(api, disable, intent("state", 101, detail="state=enabled")) == [
        ("unknown", version),
        ("unknown", 0),
    ]
    assert recover(api, disable, done=(outcome("state", 99),)) == [("committed", version)]
    assert recover(api, disable, done=(outcome("state", 101),)) == [("unknown", version)]


def test_what_recovery_does_not_know(api: FakeApi) -> None:
    assert recover(api, intent("state", detail="policy=strict")) == [("unknown", 0)]
    assert recover(api, intent("state", detail="state=disabled", key_version=9)) == [("unknown", 9)]
    assert recover(api, intent("rotate")) == [("unknown", 0)]


@pytest.mark.parametrize(
    ("detail", "verdict"),
    [
        (f'cap.revoke {{"id":"{REVOKED}"}}', "committed"),
        (f'cap.revoke {{"id":"{"00" * 16}"}}', "not committed"),
        ('cap.revoke {"id":"…', "unknown"),
        ("cap.revoke []", "unknown"),
        ('cap.mint {"tenant":"acme"}', "not committed"),
        ('cap.rotate {"overlap":1}', "unknown"),
        ("", "unknown"),
    ],
)
def test_admin_operations(api: FakeApi, detail: str, verdict: str) -> None:
    about = intent("admin", key_id="", alg="", tenant="", detail=detail)
    assert recover(api, about) == [(verdict, 0)]
