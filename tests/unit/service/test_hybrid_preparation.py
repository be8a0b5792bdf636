"""Hybrid versions for the keys that the rollout selects: by the chore, and of new keys at once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ronkms.domain.key import Key, Origin
from ronkms.domain.measure import POLICY
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import AuditUnavailable, BackendUnavailable
from ronkms.policy.decision import Decision
from ronkms.policy.pq import AcceptSet, VerifyMode
from ronkms.service.hybrid_preparation import PRINCIPAL
from tests.fakes.api import FakeApi

HYBRIDS = {
    "Ed25519": "MLDSA65-Ed25519-SHA512",
    "ES256": "MLDSA65-ECDSA-P256-SHA512",
    "ES384": "MLDSA87-ECDSA-P384-SHA512",
}


@pytest.fixture
def api(tmp_path: Path) -> FakeApi:
    return FakeApi(tmp_path)


def roll_out(api: FakeApi, percent: int = 100) -> None:
    """A change of the policy, as all processes see it."""
    accept = AcceptSet.of(VerifyMode.AND)
    api.policy.decision = Decision(accept=accept, produce_hybrid=True, rollout_percent=percent)
    api.arena.bump(POLICY)


def algs(api: FakeApi, key_id: str) -> list[str]:
    return [version.alg for version in api.store.get("default", key_id).versions.values()]


def by_the_rollout(api: FakeApi) -> list[tuple[str, str, int, str]]:
    return [
        (record["key_id"], record["phase"], record.get("key_version", 0), record["outcome"].value)
        for record in api.audit.records
        if record["token_id"] == PRINCIPAL
    ]


@pytest.mark.parametrize("alg", HYBRIDS)
def test_a_selected_key_gets_its_hybrid_recorded_and_told(api: FakeApi, alg: str) -> None:
    api.create(alg, "k")
    assert api.service.prepare_hybrids(16) == 0
    roll_out(api)
    assert api.service.prepare_hybrids(16) == 1
    assert algs(api, "k") == [alg, HYBRIDS[alg]]
    assert by_the_rollout(api) == [("k", "intent", 2, "ok"), ("k", "outcome", 2, "ok")]
    assert {record["op"] for record in api.audit.records[-2:]} == {Operation.ROTATE}
    event = {"tenant": "default", "key_id": "k", "key_version": 2, "alg": HYBRIDS[alg], "corr_id": PRINCIPAL}
    assert api.bus.events[-1] == ("KeyRotated", event)
    assert api.post("sign", {"key_id": "k", "message": ""}).json["alg"] == HYBRIDS[alg]
    roll_out(api)
    assert api.service.prepare_hybrids(16) == 0


def test_so_many_at_a_time(api: FakeApi) -> None:
    for number in range(5):
        api.create("Ed25519", f"k{number}")
    roll_out(api)
    assert [api.service.prepare_hybrids(2) for _ in range(4)] == [2, 2, 1, 0]


def test_what_is_left_alone(api: FakeApi) -> None:
    for key_id, alg in [("rsa", "PS256"), ("pq", "ML-DSA-44"), ("aes", "AES-256-GCM")]:
        api.create(alg, key_id)
    for key_id in ("off", "all-off", "damaged", "imported", "had-one"):
        api.create("Ed25519", key_id)
    api.post("keys/off/disable")
    api.post("keys/all-off/disable", {"key_version": 1})
    api.store.damage("default", "damaged")
    imported = api.store.get("default", "imported")
    imported.versions[1] = msgspec.structs.replace(imported.versions[1], origin=Origin.IMPORTED)
    assert api.post("rotate", {"key_id": "had-one", "alg": HYBRIDS["Ed25519"]}).status_code == 200
    api.post("keys/had-one/disable", {"key_version": 2})
    before = {key_id: algs(api, key_id) for _, key_id in api.store.keys}
    roll_out(api)
    assert api.service.prepare_hybrids(16) == 0
    assert {key_id: algs(api, key_id) for _, key_id in api.store.keys} == before
    assert by_the_rollout(api) == []


def test_one_that_fails_is_recorded_and_tried_again_after_a_change(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.create("Ed25519", "a")
    api.create("Ed25519", "b")
    add_version = api.store.add_version

    def fails_for_a(tenant: str, key_id: str, **more: object) -> Key:
        if key_id == "a":
            raise BackendUnavailable("disk")
        return add_version(tenant, key_id, **more)

    monkeypatch.setattr(api.store, "add_version", fails_for_a)
    roll_out(api)
    assert api.service.prepare_hybrids(16) == 1
    assert ("a", "outcome", 0, "error") in by_the_rollout(api)
    monkeypatch.undo()
    assert api.service.prepare_hybrids(16) == 0
    roll_out(api)
    assert api.service.prepare_hybrids(16) == 1
    assert algs(api, "a") == ["Ed25519", HYBRIDS["Ed25519"]]


def test_nothing_is_made_unrecorded(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    roll_out(api)
    api.audit.closed_from = len(api.audit.records)
    with pytest.raises(AuditUnavailable):
        api.service.prepare_hybrids(16)
    assert algs(api, "k") == ["Ed25519"]


@pytest.mark.parametrize("change", ["rotate", "disable", "policy"])
def test_a_change_since_the_list_was_made_wins(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    api.create("Ed25519", "k")
    add_version = api.store.add_version

    def after_the_change(tenant: str, key_id: str, **more: object) -> Key:
        monkeypatch.undo()
        match change:
            case "rotate":
                api.post("rotate", {"key_id": "k", "alg": HYBRIDS["Ed25519"]})
            case "disable":
                api.post("keys/k/disable")
            case "policy":
                roll_out(api, percent=0)
        return add_version(tenant, key_id, **more)

    roll_out(api)
    monkeypatch.setattr(api.store, "add_version", after_the_change)
    assert api.service.prepare_hybrids(16) == 0
    assert len(algs(api, "k")) == (2 if change == "rotate" else 1)
    assert by_the_rollout(api)[-1] == ("k", "outcome", 0, "rejected")


def test_a_new_key_that_is_selected_has_its_hybrid_at_once(api: FakeApi) -> None:
    roll_out(api)
    made = api.create("Ed25519", "k")
    assert (made["alg"], made["key_version"]) == (HYBRIDS["Ed25519"], 2)
    assert api.create("PS256", "rsa")["key_version"] == 1
    assert by_the_rollout(api) == [("k", "intent", 2, "ok"), ("k", "outcome", 2, "ok")]
    created = [record for record in api.audit.records if record["op"] == Operation.CREATE]
    assert [(record["phase"], record["key_version"]) for record in created[:2]] == [
        ("intent", 0),
        ("outcome", 1),
    ]
    assert api.service.prepare_hybrids(16) == 0


def test_a_new_key_whose_hybrid_fails_is_made_and_the_chore_tries_again(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    roll_out(api)

    def fails(*_: object, **__: object) -> Key:
        raise BackendUnavailable("disk")

    monkeypatch.setattr(api.store, "add_version", fails)
    assert api.create("Ed25519", "k")["key_version"] == 1
    monkeypatch.undo()
    assert api.service.prepare_hybrids(16) == 1
    assert algs(api, "k") == ["Ed25519", HYBRIDS["Ed25519"]]


def test_a_new_key_is_refused_if_its_outcome_cannot_be_recorded(api: FakeApi) -> None:
    roll_out(api)
    api.audit.closed_from = len(api.audit.records) + 1
    refused = api.post("keys", {"alg": "Ed25519", "usage": "sign", "key_id": "k"})
    assert (refused.status_code, refused.json["code"]) == (503, "audit_unavailable")
    assert algs(api, "k") == ["Ed25519"]
    assert [record["outcome"] for record in api.audit.records] == [Outcome.OK]
