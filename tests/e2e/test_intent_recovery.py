"""After a SIGKILL and a restart every intent has exactly one outcome, and it is the truth."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.audit_records import done, read_records
from tests.e2e.support.key_load import random_delay
from tests.server_process import ServerProcess

ROUNDS = 6
THREADS = 8
IDENTITY = ("op", "tenant", "token", "corr_id", "key_id")


class LifecycleLoad:
    """Each thread makes a key, and changes it, until the server is gone."""

    def __init__(self, server: ServerProcess, prefix: str) -> None:
        self._url = f"{server.api_url}/v1/kms"
        self._headers = {"Authorization": f"Bearer {server.token}"}
        self._threads = [
            threading.Thread(target=self._run, args=(f"{prefix}-{number}",), daemon=True)
            for number in range(THREADS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _run(self, prefix: str) -> None:
        number = 0
        with httpx.Client(headers=self._headers, timeout=20, verify=False) as client:
            try:
                while True:
                    key = {"key_id": f"{prefix}-{number}"}
                    client.post(f"{self._url}/keys", json={"alg": "Ed25519", "usage": "sign", **key})
                    for step in ("rotate", "disable", "enable", "rotate", "disable"):
                        path = "rotate" if step == "rotate" else f"{key['key_id']}/{step}"
                        client.post(f"{self._url}/keys/{path}", json=key if step == "rotate" else {})
                    number += 1
            except httpx.TransportError:
                return


def check_truth(server: ServerProcess, records: list[dict[str, Any]]) -> None:
    """The outcomes ``ok`` add up to what the store has: no more and no less."""
    api = ApiClient(server.api_url, server.token)
    try:
        keys, after = {}, ""
        while True:
            page = api.get(
                f"/v1/kms/keys?limit=1000&after={after}" if after else "/v1/kms/keys?limit=1000"
            ).body
            keys |= {key["key_id"]: key for key in page["keys"]}
            if "next" not in page:
                break
            after = page["next"]
    finally:
        api.close()
    made = {(name, number + 1) for name, key in keys.items() for number in range(key["key_version"])}
    assert done(records, "create") | done(records, "rotate") == made
    states = dict.fromkeys(keys, "enabled")
    for record in records:
        if record["op"] == "state" and record["outcome"] == "ok" and record["phase"] == "outcome":
            states[record["key_id"]] = record["detail"].rpartition("state=")[2]
    assert states == {name: key["state"] for name, key in keys.items()}


def check_outcomes(records: list[dict[str, Any]]) -> None:
    """Exactly one outcome for each intent."""
    phases: dict[str, Counter[tuple[str, ...]]] = {"intent": Counter(), "outcome": Counter()}
    for record in records:
        if "phase" in record:
            phases[record["phase"]][tuple(record.get(name, "") for name in IDENTITY)] += 1
    assert phases["intent"] == phases["outcome"]


@pytest.mark.timeout(180)
def test_every_intent_has_its_outcome_after_a_kill(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data")
    try:
        server.start()
        for number in range(ROUNDS):
            load = LifecycleLoad(server, f"r{number}")
            load.start()
            time.sleep(random_delay(0.3, 0.8))
            os.killpg(server.pid, signal.SIGKILL)
            load.join()
            server.kill()
            server.start()
            records = read_records(server.data_dir)
            check_outcomes(records)
            check_truth(server, records)
        assert server.stop() == 0
    finally:
        server.kill()
    recovered = Counter(
        record["detail"].partition(";")[0]
        for record in read_records(server.data_dir)
        if record.get("detail", "").startswith("recovered: ")
    )
    print(dict(recovered))
    assert sum(recovered.values()) > 0
    assert not recovered["recovered: unknown"]
    server.ronctl("audit", "verify", str(server.data_dir / "audit"))


def test_a_worker_that_died_leaves_its_intents_to_the_next_start(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", env={"KMS_WORKERS": "1"})
    server.start()
    load = LifecycleLoad(server, "w")
    load.start()
    time.sleep(0.5)
    for pid in server.children():
        os.kill(pid, signal.SIGKILL)
    load.join()
    time.sleep(0.2)
    assert server.stop() == 0
    with server:
        records = read_records(server.data_dir)
        check_outcomes(records)
        check_truth(server, records)
