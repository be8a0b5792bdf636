"""``max_operations`` through the real server: never one more, over workers, engine, kills and restarts."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.audit_records import read_records
from tests.e2e.support.process_tree import listening_on
from tests.server_process import ServerProcess

MESSAGE = base64.b64encode(b"counted").decode()
WORKERS = 2
LIMIT = 4000
THREADS = 4


class Signers:
    """Threads that sign until they are stopped or refused; what came back is counted."""

    def __init__(self, server: ServerProcess, key_id: str) -> None:
        self._server = server
        self._body = {"key_id": key_id, "message": MESSAGE}
        self.codes: Counter[str] = Counter()
        self.signatures: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(THREADS)]

    def __enter__(self) -> Signers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        turn = 0
        while not self._stop.is_set():
            client = ApiClient(self._server.api_url, self._server.token)
            try:
                while not self._stop.is_set():
                    turn += 1
                    if self._once(client, f"{number}.{turn}", batch=turn % 5 == 0):
                        return
            except httpx.HTTPError:
                time.sleep(0.02)
            finally:
                client.close()

    def _once(self, client: ApiClient, text: str, *, batch: bool) -> bool:
        """True once nothing is left."""
        bodies = [
            self._body | {"message": base64.b64encode(f"{text}.{item}".encode()).decode()}
            for item in range(3)
        ]
        if batch:
            answers = [
                (item["status"], item.get("result") or item["error"])
                for item in client.ok("/v1/kms/sign", {"items": bodies})["items"]
            ]
        else:
            answer = client.post("/v1/kms/sign", bodies[0])
            answers = [(answer.status, answer.body)]
        with self._lock:
            for status, body in answers:
                self.codes[body.get("code", str(status))] += 1
                if status == 200:
                    self.signatures.add(body["signature"])
        return all(body.get("code") == "key_exhausted" for _, body in answers)


def left(api: ApiClient, key_id: str) -> int:
    number: int = api.get(f"/v1/kms/keys/{key_id}").body["versions"][0]["operations_left"]
    return number


def used(data_dir: Path, key_id: str) -> int:
    """Signatures of the key that the audit log knows of, answered or not."""
    count = 0
    for record in read_records(data_dir):
        if record["op"] == "sign" and record["outcome"] in ("ok", "invalid"):
            if keys := record.get("keys"):
                count += keys.get(f"{key_id}/1", 0)
            elif record.get("key_id") == key_id:
                count += record.get("items", 1)
    return count


def test_the_engine_counts_from_the_moment_that_the_limit_is_set(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", env={"KMS_WORKERS": str(WORKERS)}) as server:
        clients = [ApiClient(server.api_url, server.token) for _ in range(8)]
        api = clients[0]
        api.ok("/v1/kms/keys", {"key_id": "k", "alg": "Ed25519", "usage": "sign"})
        sign = {"key_id": "k", "message": MESSAGE}
        for _ in range(6):
            for client in clients:
                client.ok("/v1/kms/sign", sign)
        shown = json.loads(server.ronctl("keys", "policy", "k", "--max-operations", "150").stdout)
        assert shown["policy"] == {"max_operations": 150}
        assert {left(client, "k") for client in clients} == {150}
        found = Counter(clients[turn % 8].post("/v1/kms/sign", sign).status for turn in range(170))
        # So near the end a reservation is a single operation.
        assert found == {200: 150, 409: 20}
        assert {left(client, "k") for client in clients} == {0}
        refused = api.post("/v1/kms/sign", sign)
        assert (refused.status, refused.body["code"]) == (409, "key_exhausted")
        lines = (server.data_dir / "bus" / "kms.jsonl").read_text().splitlines()
        events = [event["fields"] for event in map(json.loads, lines) if event["event"] == "KeyExhausted"]
        assert [(event["key_id"], event["key_version"]) for event in events] == [("k", 1)]
        assert api.ok("/v1/kms/keys/rotate", {"key_id": "k"})["key_version"] == 2
        assert api.ok("/v1/kms/sign", sign)["key_version"] == 2
        for client in clients:
            client.close()


@pytest.mark.timeout(180)
def test_kills_and_restarts_never_give_one_more(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", env={"KMS_WORKERS": str(WORKERS)})
    kills = 0
    server.start()
    try:
        api = ApiClient(server.api_url, server.token)
        policy = {"max_operations": LIMIT}
        api.ok("/v1/kms/keys", {"key_id": "k", "alg": "Ed25519", "usage": "sign", "policy": policy})
        api.close()
        with Signers(server, "k") as signers:
            for turn in range(12):
                time.sleep(random.uniform(0.05, 0.3))
                if turn % 4 == 3:
                    server.kill()
                    server.start()
                else:
                    kills += _kill_a_worker(server)
            deadline = time.monotonic() + 60
            while signers.codes["key_exhausted"] == 0 and time.monotonic() < deadline:
                time.sleep(0.05)
        api = ApiClient(server.api_url, server.token)
        assert api.post("/v1/kms/sign", {"key_id": "k", "message": MESSAGE}).body["code"] == "key_exhausted"
        assert left(api, "k") == 0
        api.close()
    finally:
        server.kill()
    answered, known = signers.codes["200"], used(server.data_dir, "k")
    print(f"{answered} answered, {known} in the log, of {LIMIT}; {kills} workers and 3 servers killed")
    assert set(signers.codes) <= {"200", "key_exhausted", "saturated"}, signers.codes
    assert kills >= 5
    assert answered <= known <= LIMIT
    # Of each killed process at most a hundredth of what was left then, and what was on its way.
    assert known >= LIMIT - (kills + 3 * WORKERS) * (LIMIT // 100 + 2 * 3)


def _kill_a_worker(server: ServerProcess) -> int:
    port = int(server.api_url.rsplit(":", 1)[1])
    for pid in random.sample(server.children(), len(server.children())):
        try:
            if listening_on(pid, port):
                os.kill(pid, signal.SIGKILL)
                return 1
        except (FileNotFoundError, ProcessLookupError):
            continue
    return 0


def test_a_restart_keeps_count(tmp_path: Path) -> None:
    """Also through a compaction of the journal: more than 64 reservations of one key."""
    server = ServerProcess(tmp_path / "data", env={"KMS_WORKERS": "1"})
    sign: dict[str, Any] = {"key_id": "k", "message": MESSAGE}
    done = 0
    for _ in range(2):
        server.start()
        try:
            api = ApiClient(server.api_url, server.token)
            if not done:
                policy = {"max_operations": 150}
                api.ok("/v1/kms/keys", {"key_id": "k", "alg": "ES256", "usage": "sign", "policy": policy})
            for _ in range(100):
                done += api.post("/v1/kms/sign", sign).status == 200
            api.close()
            assert server.stop() == 0
        finally:
            server.kill()
    assert done == 150
