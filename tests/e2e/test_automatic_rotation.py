"""The server rotates keys by their policy: after any downtime once, recorded as its own doing."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ronkms.app import Application
from ronkms.config import load_settings
from ronkms.domain.key import KeyState, Origin
from ronkms.domain.key_policy import KeyPolicy
from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.audit_records import read_records
from tests.server_process import ServerProcess

DAY = 86400
DAYS_AGO = 10
DAILY = KeyPolicy(rotation_period_seconds=DAY)


def make_keys(data: Path, keys: dict[str, tuple[KeyPolicy, Origin]]) -> None:
    """Ed25519 keys in a data directory whose server is down, made ``DAYS_AGO``."""
    then = time.time() - DAYS_AGO * DAY
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: then)
        application = Application(load_settings({"KMS_DATA_DIR": str(data)}, dev=True))
        try:
            for key_id, (policy, origin) in keys.items():
                application.store.create(
                    tenant="default",
                    key_id=key_id,
                    alg="Ed25519",
                    backend="file",
                    labels={},
                    policy=policy,
                    origin=origin,
                    seal=partial(application.backends["file"].generate, "Ed25519"),
                )
            if "disabled" in keys:
                application.store.set_state("default", "disabled", KeyState.DISABLED)
        finally:
            application.close()


def rotated(api: ApiClient, key_id: str) -> dict[str, Any]:
    """The key once it has a second version; the test's time limit ends the wait."""
    while True:
        key: dict[str, Any] = api.get(f"/v1/kms/keys/{key_id}").body
        if key["version_count"] > 1:
            return key
        time.sleep(0.1)


@pytest.mark.timeout(120)
def test_a_key_is_rotated_by_its_policy_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    generated, imported = Origin.GENERATED, Origin.IMPORTED
    make_keys(
        data,
        {
            "daily": (DAILY, generated),
            "disabled": (DAILY, generated),
            "expired": (KeyPolicy(rotation_period_seconds=DAY, not_after=1_000_000_000), generated),
            "imported": (DAILY, imported),
            "monthly": (KeyPolicy(rotation_period_seconds=30 * DAY), generated),
            "never": (KeyPolicy(), generated),
            "weekly": (KeyPolicy(rotation_period_seconds=7 * DAY), generated),
        },
    )
    with ServerProcess(data) as server:
        api = ApiClient(server.api_url, server.token)
        # Keys are taken in order: the last one done, all were looked at.
        rotated(api, "weekly")
        older, newer = reversed(rotated(api, "daily")["versions"])
        assert newer["created_at"] - older["created_at"] >= (DAYS_AGO - 1) * DAY
        assert api.ok("/v1/kms/sign", {"key_id": "daily", "message": ""})["key_version"] == 2
        api.close()
    make_keys(data, {"yearly": (DAILY, generated), "z": (DAILY, generated)})
    with ServerProcess(data) as server:
        api = ApiClient(server.api_url, server.token)
        rotated(api, "z")
        counts = {key["key_id"]: key["key_version"] for key in api.get("/v1/kms/keys?limit=100").body["keys"]}
        api.close()
        server.ronctl("audit", "verify", str(data / "audit"))
    done = {"daily", "weekly", "yearly", "z"}
    left = {"disabled", "expired", "imported", "monthly", "never"}
    assert counts == dict.fromkeys(done, 2) | dict.fromkeys(left, 1)
    records = [record for record in read_records(data) if record["token"] == "system:rotation"]
    assert {record["op"] for record in records} == {"rotate"}
    by_key = {
        key_id: [
            (record["phase"], record["outcome"], record.get("key_version"))
            for record in records
            if record["key_id"] == key_id
        ]
        for key_id in {record["key_id"] for record in records}
    }
    assert by_key == {key_id: [("intent", "ok", 2), ("outcome", "ok", 2)] for key_id in done}
    lines = (data / "bus" / "kms.jsonl").read_text().splitlines()
    events = [event["fields"] for event in map(json.loads, lines) if event["event"] == "KeyRotated"]
    assert sorted(event["key_id"] for event in events) == sorted(done)
    assert {event["corr_id"] for event in events} == {"system:rotation"}
