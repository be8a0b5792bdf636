"""After a SIGKILL and a restart every intent has exactly one outcome, and it is the truth."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.e2e.support.audit_records import read_records
from tests.e2e.support.audit_truth import check_outcomes, check_store
from tests.e2e.support.key_load import random_delay
from tests.server_process import ServerProcess

ROUNDS = 6
THREADS = 8


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
            check_store(server, records)
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
        check_store(server, records)
