"""Keys used lately are destroyed only with force; a dry run says who used them and changes nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from ronkms.service.destroy_protection import DAY
from tests.fakes.api import FakeApi


@pytest.fixture
def api(tmp_path: Path) -> FakeApi:
    api = FakeApi(tmp_path)
    api.create("Ed25519", "k")
    return api


def state(api: FakeApi) -> str:
    text: str = api.get("keys/k").json["state"]
    return text


def test_a_key_used_lately_is_kept_unless_forced(api: FakeApi) -> None:
    api.usage.used("k", int(time.time()) - DAY, op="verify", token="abc")
    refused = api.post("keys/k/destroy")
    assert (refused.status_code, refused.json["code"]) == (409, "conflict")
    assert "verify, version 1" in refused.json["detail"]
    assert "token abc" in refused.json["detail"]
    assert state(api) == "enabled"
    assert api.post("keys/k/destroy", {"force": True}).json["state"] == "destroy_scheduled"
    assert api.audit.records[-1]["detail"] == "state=destroy_scheduled force"
    # Once scheduled, asking again changes nothing and is no matter of uses.
    assert api.post("keys/k/destroy").status_code == 200


def test_an_old_use_is_no_hindrance(api: FakeApi) -> None:
    api.usage.used("k", int(time.time()) - 8 * DAY)
    assert api.post("keys/k/destroy").status_code == 200


def test_attempts_on_a_disabled_key_count(api: FakeApi) -> None:
    api.usage.used("k", int(time.time()), version=0, refused=True)
    refused = api.post("keys/k/destroy")
    assert refused.status_code == 409
    assert "asked for in vain (sign)" in refused.json["detail"]


def test_a_version_counts_its_own_uses(api: FakeApi) -> None:
    api.post("rotate", {"key_id": "k"})
    api.usage.used("k", int(time.time()), version=2)
    assert api.post("keys/k/destroy", {"key_version": 2}).status_code == 409
    assert api.post("keys/k/destroy", {"key_version": 1}).status_code == 200
    assert api.post("keys/k/destroy").status_code == 409


def test_not_knowing_is_a_hindrance(api: FakeApi) -> None:
    api.usage.complete = False
    refused = api.post("keys/k/destroy")
    assert (refused.status_code, "not known yet" in refused.json["detail"]) == (409, True)
    assert api.get("keys/k").json.keys() & {"usage_since"} == set()
    api.usage.broken = True
    assert api.post("keys/k/destroy").json["code"] == "backend_unavailable"
    assert state(api) == "enabled", "a description does not depend on it"
    assert api.post("keys/k/destroy", {"force": True}).status_code == 200


def test_uses_must_be_known_for_as_long_as_they_count(api: FakeApi) -> None:
    key = api.store.get("default", "k")
    api.store.keys["default", "k"] = replace(key, created_at=key.created_at - 30 * DAY)
    now = int(time.time())
    for since in (None, now - 6 * DAY):
        api.usage.since = since
        refused = api.post("keys/k/destroy")
        assert (refused.status_code, "less than 7 days" in refused.json["detail"]) == (409, True)
    api.usage.since = now - 8 * DAY
    assert api.post("keys/k/destroy").status_code == 200
    # All of a key's life is known if it is younger than the log.
    api.create("Ed25519", "young")
    api.usage.since = api.store.get("default", "young").created_at
    assert api.post("keys/young/destroy").status_code == 200


def test_a_dry_run_shows_the_uses_and_changes_nothing(api: FakeApi) -> None:
    now = int(time.time())
    api.usage.used("k", now - 5, token="abc")
    api.usage.used("k", now - 3, token="def", version=0, refused=True)
    answer = api.post("keys/k/destroy", {"dry_run": True, "window_seconds": 3600}).json
    assert (answer["state"], state(api)) == ("enabled", "enabled")
    assert answer["destroy_at"] >= now + 3600
    run = answer["dry_run"]
    assert (run["allowed"], run["usage_complete"], run["usage_since"]) == (False, True, 1)
    assert "token def" in run["detail"]
    assert run["uses"] == [
        {
            "op": "sign",
            "token": "def",
            "first_at": now - 3,
            "last_at": now - 3,
            "count": 1,
            "refused": True,
        },
        {
            "op": "sign",
            "token": "abc",
            "first_at": now - 5,
            "last_at": now - 5,
            "count": 1,
            "key_version": 1,
        },
    ]
    forced = api.post("keys/k/destroy", {"dry_run": True, "force": True}).json["dry_run"]
    assert (forced["allowed"], "detail" in forced, len(forced["uses"])) == (True, False, 2)
    records = [record for record in api.audit.records if "dry_run" in record["detail"]]
    assert {(record["phase"], record["detail"]) for record in records} == {
        ("", "dry_run state=destroy_scheduled")
    }
    events = [fields["state"] for event, fields in api.bus.events if event == "KeyStateChanged"]
    assert events == ["enabled"]


def test_a_dry_run_needs_the_right_and_the_state_that_a_destruction_needs(api: FakeApi) -> None:
    assert api.post("keys/k/destroy", {"dry_run": True}, token="default;read;*").status_code == 403
    due = api.post("keys/k/destroy", {"window_seconds": 60}).json["destroy_at"]
    assert api.service.destroy_due(due) == 1
    assert api.post("keys/k/destroy", {"dry_run": True}).json["code"] == "conflict"


def test_a_description_has_the_last_uses_of_each_version(api: FakeApi) -> None:
    api.post("rotate", {"key_id": "k"})
    api.usage.used("k", 100, version=1, op="verify", token="abc")
    api.usage.used("k", 200, version=1, op="sign", token="def")
    api.usage.used("k", 300, version=1, refused=True)
    newer, older = api.get("keys/k").json["versions"]
    assert "last_used" not in newer
    assert older["last_used"] == {
        "sign": {"at": 200, "token": "def", "count": 1},
        "verify": {"at": 100, "token": "abc", "count": 1},
    }
