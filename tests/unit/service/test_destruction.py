"""The chore that destroys: recorded before and after, and tried again when it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from ronkms.domain.key import Key
from ronkms.domain.operation import Outcome
from ronkms.errors import AuditUnavailable, BackendUnavailable
from ronkms.service.destruction import PRINCIPAL
from tests.fakes.api import FakeApi


@pytest.fixture
def api(tmp_path: Path) -> FakeApi:
    return FakeApi(tmp_path)


def schedule(api: FakeApi, key_id: str, **more: int) -> int:
    body = {"window_seconds": 60, **more}
    due: int = api.post(f"keys/{key_id}/destroy", body).json["destroy_at"]
    return due


def test_a_version_alone(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    api.post("rotate", {"key_id": "k"})
    due = schedule(api, "k", key_version=1)
    assert api.service.destroy_due(due) == 1
    assert api.service.destroy_due(due) == 0
    states = {version["key_version"]: version["state"] for version in api.get("keys/k").json["versions"]}
    assert states == {1: "destroyed", 2: "enabled"}
    assert ("default", "k", 1) not in api.store.records
    assert api.post("sign", {"key_id": "k", "message": ""}).json["key_version"] == 2
    assert api.bus.events[-1][1]["state"] == "destroyed"
    by_the_chore = [record for record in api.audit.records if record["token_id"] == PRINCIPAL]
    assert [(record["phase"], record["key_version"]) for record in by_the_chore] == [
        ("intent", 1),
        ("outcome", 1),
    ]


def test_one_that_fails_is_recorded_and_tried_again(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api.create("Ed25519", "a")
    api.create("Ed25519", "b")
    due = max(schedule(api, "a"), schedule(api, "b"))
    destroy = api.store.destroy

    def fails_for_a(
        tenant: str, key_id: str, *, version: int | None = None, due_by: int | None = None
    ) -> Key:
        if key_id == "a":
            raise BackendUnavailable("disk")
        return destroy(tenant, key_id, version=version, due_by=due_by)

    monkeypatch.setattr(api.store, "destroy", fails_for_a)
    assert api.service.destroy_due(due) == 1
    failed = [record for record in api.audit.records if record["outcome"] is Outcome.ERROR]
    assert [(record["key_id"], record["phase"], record["code"]) for record in failed] == [
        ("a", "outcome", "backend_unavailable")
    ]
    monkeypatch.undo()
    assert api.service.destroy_due(due) == 1
    assert api.get("keys/a").json["state"] == "destroyed"


def test_nothing_is_destroyed_unrecorded(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    due = schedule(api, "k")
    api.audit.closed_from = len(api.audit.records)
    with pytest.raises(AuditUnavailable):
        api.service.destroy_due(due)
    assert ("default", "k", 1) in api.store.records


def test_a_restore_since_the_list_was_made_wins(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api.create("Ed25519", "k")
    due = schedule(api, "k")
    listed = api.store.due_for_destruction(due)
    api.post("keys/k/restore")
    later = schedule(api, "k", window_seconds=120)
    monkeypatch.setattr(api.store, "due_for_destruction", lambda now: listed)
    assert api.service.destroy_due(due) == 0
    assert api.get("keys/k").json["state"] == "destroy_scheduled"
    assert api.service.destroy_due(later) == 1
