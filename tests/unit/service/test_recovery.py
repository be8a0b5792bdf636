"""Each intent without an outcome is given the one that the store shows, or it is said that nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from ronkms.audit.intents import Phase
from ronkms.domain.operation import Outcome
from ronkms.service.admin_recovery import AdminRecovery
from ronkms.service.recovery import INTERRUPTED, Recovery
from tests.fakes.api import FakeApi

REVOKED = "ab" * 16
FOUND = {"cap": 20, "policy": 30, "audit.rotate": 2, "audit.rotate-digest-key": 7}
DESTROYED = 3


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
    admin = AdminRecovery(found=FOUND, is_revoked=REVOKED.__eq__, is_destroyed=DESTROYED.__eq__)
    recovery = Recovery(store=api.store, audit=api.audit, admin=admin)
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


def test_only_the_dead_are_judged_and_wait_for_the_living(api: FakeApi) -> None:
    admin = AdminRecovery(found=FOUND, is_revoked=REVOKED.__eq__, is_destroyed=DESTROYED.__eq__)
    recovery = Recovery(store=api.store, audit=api.audit, admin=admin)
    before = len(api.audit.records)
    dead = intent("rotate", 1, key_version=2, pid=7)
    elsewhere = intent("rotate", 2, key_id="other", key_version=2, pid=8)
    rival = intent("state", 3, detail="state=disabled", pid=8)
    recovery.recover([dead, elsewhere, rival], [], {7})
    assert len(api.audit.records) == before
    recovery.recover([dead, elsewhere], [], {7})
    (record,) = api.audit.records[before:]
    assert (record["corr_id"], record["pid"]) == (dead.corr_id, 7)
    assert record["detail"].startswith("recovered: not committed")


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
    rival = intent("state", 101, detail="state=enabled", key_version=version)
    assert recover(api, disable, rival) == [("unknown", version)] * 2
    same = {"detail": "state=enabled", "key_version": version}
    assert recover(api, disable, done=(outcome("state", 99, **same),)) == [("committed", version)]
    assert recover(api, disable, done=(outcome("state", 101, **same),)) == [("unknown", version)]
    recovered = same | {"detail": "recovered: committed; state=enabled"}
    assert recover(api, disable, done=(outcome("state", 101, **recovered),)) == [("unknown", version)]
    # What was done to the policy, or to the other of key and version, says nothing about it.
    policy = outcome("state", 101, detail="policy={}", key_version=version)
    other = outcome("state", 102, detail="state=enabled", key_version=1 - version)
    assert recover(api, disable, done=(policy, other)) == [("committed", version)]


def test_a_destruction_by_force(api: FakeApi) -> None:
    forced = intent("state", detail="state=destroy_scheduled force")
    assert recover(api, forced) == [("not committed", 0)]
    api.post("keys/k/destroy", {"window_seconds": 60})
    assert recover(api, forced) == [("committed", 0)]


def test_a_disabling_in_stages(api: FakeApi) -> None:
    staged = intent("state", detail="staged_disable=50% over=600")
    assert recover(api, staged) == [("not committed", 0)]
    assert api.post("keys/k/disable", {"percent": 50, "over": 600}).status_code == 200
    assert recover(api, staged) == [("committed", 0)]
    assert recover(api, intent("state", detail="staged_disable=60% over=600")) == [("not committed", 0)]
    assert recover(api, intent("state", detail="state=enabled")) == [("not committed", 0)]
    by_another = outcome("state", 101, detail="state=enabled")
    assert recover(api, staged, done=(by_another,)) == [("unknown", 0)]
    api.post("keys/k/enable")
    assert recover(api, intent("state", detail="state=enabled")) == [("committed", 0)]


def test_a_destroyed_key_does_not_show_what_a_version_was(api: FakeApi) -> None:
    api.post("rotate", {"key_id": "k"})
    api.post("keys/k/destroy", {"window_seconds": 60})
    api.store.destroy("default", "k")
    assert recover(api, intent("state", detail="state=disabled", key_version=1)) == [("unknown", 1)]


def test_a_policy(api: FakeApi) -> None:
    change = intent("state", detail='policy={"not_after":4102444800,"not_before":null}')
    assert recover(api, change) == [("not committed", 0)]
    api.post("keys/k/policy", {"not_after": 4102444800})
    assert recover(api, change) == [("committed", 0)]
    assert recover(api, change, done=(outcome("state", 101, detail="state=disabled"),)) == [("committed", 0)]
    assert recover(api, change, done=(outcome("state", 101, detail='policy={"mu":false}'),)) == [
        ("unknown", 0)
    ]
    assert recover(api, change, intent("state", 101, detail='policy={"mu":false}')) == [("unknown", 0)] * 2


def test_what_recovery_does_not_know(api: FakeApi) -> None:
    assert recover(api, intent("state", detail='policy={"not_after":4…')) == [("unknown", 0)]
    assert recover(api, intent("state", detail="nonsense=1")) == [("unknown", 0)]
    assert recover(api, intent("state", detail="state=disabled", key_version=9)) == [("unknown", 9)]
    assert recover(api, intent("rotate")) == [("unknown", 0)]


@pytest.mark.parametrize(
    ("detail", "verdict"),
    [
        (f'cap.revoke entry=21 {{"id":"{REVOKED}"}}', "committed"),
        (f'cap.revoke entry=21 {{"id":"{REVOKED}0123456789abcdef"}}', "committed"),
        (f'cap.revoke {{"id":"{REVOKED}"}}', "committed"),
        (f'cap.revoke entry=21 {{"id":"{"00" * 16}"}}', "not committed"),
        (f'cap.revoke entry=20 {{"id":"{"00" * 16}"}}', "committed"),
        ('cap.revoke {"id":"…', "unknown"),
        ("cap.revoke []", "unknown"),
        ('cap.mint entry=20 {"tenant":"acme"}', "not committed"),
        ('audit.sinks.test {"name":"siem"}', "not committed"),
        ('cap.rotate entry=20 {"overlap":1}', "committed"),
        ('cap.rotate entry=21 {"overlap":1}', "not committed"),
        ('cap.withdraw entry=20 {"root":1}', "committed"),
        ('policy.set entry=30 {"tenant":"acme","verify…', "committed"),
        ('policy.set entry=31 {"tenant":"acme"}', "not committed"),
        ("policy.end entry=30 name=CHG-1 key_id= reason=expired", "committed"),
        ("audit.rotate entry=2 {}", "committed"),
        ("audit.rotate entry=3 {}", "not committed"),
        ("audit.rotate-digest-key entry=7 {}", "committed"),
        ("audit.rotate-digest-key entry=8 {}", "not committed"),
        ('audit.destroy-digest-key entry=8 {"epoch":3}', "committed"),
        ('audit.destroy-digest-key entry=8 {"epoch":4}', "not committed"),
        ("audit.destroy-digest-key entry=8 []", "unknown"),
        ('cap.rotate {"overlap":1}', "unknown"),
        ('other.thing entry=1 {"overlap":1}', "unknown"),
        ("", "unknown"),
    ],
)
def test_admin_operations(api: FakeApi, detail: str, verdict: str) -> None:
    assert recover(api, admin_intent(1, detail)) == [(verdict, 0)]


def admin_intent(seq: int, detail: str) -> Phase:
    return intent("admin", seq, key_id="", alg="", tenant="", detail=detail)


def test_the_next_admin_operation_shows_what_became_of_the_one_before(api: FakeApi) -> None:
    """The admin process died more than once while the server went on."""
    done = outcome("admin", 9, key_id="", alg="", tenant="", detail="policy.set entry=28 {}")
    open_ones = [
        admin_intent(1, "policy.set entry=27 {}"),
        admin_intent(2, "policy.lock entry=27 {}"),
        admin_intent(4, "cap.rotate entry=20 {}"),
        admin_intent(12, "policy.unset entry=29 {}"),
        admin_intent(13, "policy.unset entry=31 {}"),
    ]
    assert [verdict for verdict, _ in recover(api, *open_ones, done=(done,))] == [
        "not committed",
        "committed",
        "committed",
        "committed",
        "not committed",
    ]
