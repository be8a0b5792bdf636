"""After a SIGKILL and a restart every intent has exactly one outcome, and it is the truth."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from ronkms.cli.ronctl_admin import ask
from ronkms.errors import Unavailable
from ronkms.server import admin_messages as messages
from ronkms.server import admin_policy_messages as policy_messages
from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.audit_records import read_records
from tests.e2e.support.audit_truth import check_outcomes, check_store, identity
from tests.e2e.support.key_load import random_delay
from tests.e2e.support.process_tree import listening_on
from tests.eventually import eventually
from tests.server_process import ServerProcess

ROUNDS = 6
THREADS = 8
FIRST_NOT_AFTER = 4_102_444_800


class LifecycleLoad:
    """Each thread makes a key, and changes it, until its connection breaks or it is told to end."""

    def __init__(self, server: ServerProcess, prefix: str) -> None:
        self._url = f"{server.api_url}/v1/kms"
        self._headers = {"Authorization": f"Bearer {server.token}"}
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(f"{prefix}-{number}",), daemon=True)
            for number in range(THREADS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        # A connection that no worker had accepted yet outlives the worker.
        self._end.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _run(self, prefix: str) -> None:
        number = 0
        with httpx.Client(headers=self._headers, timeout=20, verify=False) as client:
            try:
                while not self._end.is_set():
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


@pytest.mark.timeout(180)
def test_a_worker_that_died_leaves_no_open_intents_behind(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", env={"KMS_WORKERS": "2"}) as server:
        for number in count():
            load = LifecycleLoad(server, f"w{number}")
            load.start()
            time.sleep(random_delay(0.3, 0.6))
            os.kill(workers(server)[0], signal.SIGKILL)
            load.join()
            eventually(lambda: not open_intents(server), "an intent has no outcome while the server runs")
            records = read_records(server.data_dir)
            if any(record.get("detail", "").startswith("recovered: ") for record in records):
                break
        check_outcomes(records)
        check_store(server, records)


def open_intents(server: ServerProcess) -> Counter[tuple[str, ...]]:
    """Those without outcome."""
    found: Counter[tuple[str, ...]] = Counter()
    for record in read_records(server.data_dir):
        if "phase" in record:
            found[identity(record)] += 1 if record["phase"] == "intent" else -1
    return +found


class AdminLoad:
    """Admin operations and changes of a key's policy, each with its own value, until the server is gone."""

    def __init__(self, server: ServerProcess, first: int) -> None:
        self.next = first
        self._server = server
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        headers = {"Authorization": f"Bearer {self._server.token}"}
        with httpx.Client(base_url=self._server.api_url, headers=headers, timeout=20, verify=False) as client:
            try:
                while True:
                    self._round(client, self.next)
                    self.next += 1
            except (httpx.TransportError, Unavailable):
                return

    def _round(self, client: httpx.Client, number: int) -> None:
        directory = self._server.data_dir
        percent = policy_messages.SetArguments("acme", f"k{number}", rollout_percent=number % 100)
        ask(directory, "policy.set", policy_messages.PolicyView, percent)
        revoked = messages.RevokeArguments(f"{number:032x}")
        ask(directory, "cap.revoke", messages.RevokedBlock, revoked)
        ask(directory, "cap.rotate", messages.RootNumber, messages.RotateArguments(3600))
        ask(directory, "cap.mint", messages.MintedToken, messages.MintArguments("acme", ["sign"], 60))
        ask(directory, "audit.rotate", messages.AuditKeys)
        client.post("/v1/kms/keys/k/policy", json={"not_after": FIRST_NOT_AFTER + number})


def check_admin_truth(server: ServerProcess, records: list[dict[str, Any]]) -> None:
    """The outcomes ``ok`` are just what is in force."""
    committed = [
        record.get("detail", "").rpartition("; ")[2]
        for record in records
        if record["outcome"] == "ok" and record.get("phase") == "outcome"
    ]
    asked = [record.get("detail", "") for record in records if record.get("phase") == "intent"]

    def said(pattern: str, details: list[str]) -> list[str]:
        return [found[1] for detail in details if (found := re.search(pattern, detail))]

    directory = server.data_dir
    policy_set = r'^policy.set .*"key_id":"k([0-9]+)"'
    done = set(said(policy_set, committed))
    for number in said(policy_set, asked):
        scope = policy_messages.InspectArguments("acme", f"k{number}")
        view = ask(directory, "policy.inspect", policy_messages.PolicyView, scope)
        assert (view.rollout_percent_source == "key") is (number in done), number
    revoked = ask(directory, "cap.revoked", messages.RevokedBlocks)
    assert {block.id for block in revoked.revoked} == set(
        said('^cap.revoke .*"id":"([0-9a-f]{32})', committed)
    )
    roots = ask(directory, "cap.roots", messages.CapabilityRoots).roots
    assert max(root.number for root in roots) == 1 + len(said("^(cap.rotate)", committed))
    assert [root.number for root in roots if root.until is None] == [roots[-1].number]
    sets = len(server.ronctl("audit", "keys").stdout.split()) // 2
    assert sets == 1 + len(said("^(audit.rotate)", committed))
    policies = said(r'^policy=.*"not_after":([0-9]+)', committed)
    api = ApiClient(server.api_url, server.token)
    try:
        assert api.get("/v1/kms/keys/k").body["policy"].get("not_after", 0) == max(
            map(int, policies), default=0
        )
    finally:
        api.close()


@pytest.mark.timeout(180)
def test_admin_operations_and_key_policies_have_true_outcomes_after_kills(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", env={"KMS_WORKERS": "1"})
    number = 0
    try:
        server.start()
        api = ApiClient(server.api_url, server.token)
        api.ok("/v1/kms/keys", {"key_id": "k", "alg": "Ed25519", "usage": "sign"})
        api.close()
        for turn in range(ROUNDS):
            load = AdminLoad(server, number)
            load.start()
            time.sleep(random_delay(0.2, 0.6))
            if turn % 2:
                # The admin process alone: the arbiter makes another, which ends its intents.
                os.kill(admin_process(server), signal.SIGKILL)
                load.join()
                number = load.next + 1
                load = AdminLoad(server, number)
                wait_for_admin(server)
                load.start()
                time.sleep(random_delay(0.1, 0.3))
            os.killpg(server.pid, signal.SIGKILL)
            load.join()
            number = load.next + 1
            server.kill()
            server.start()
            records = read_records(server.data_dir)
            check_outcomes(records)
            check_admin_truth(server, records)
        assert server.stop() == 0
    finally:
        server.kill()
    recovered = Counter(
        (record["detail"].partition(";")[0], record["detail"].partition("; ")[2].partition(" ")[0])
        for record in read_records(server.data_dir)
        if record.get("detail", "").startswith("recovered: ")
    )
    print(dict(recovered))
    assert recovered
    assert not [verdict for verdict, _ in recovered if verdict == "recovered: unknown"]


def workers(server: ServerProcess) -> list[int]:
    """The children that listen on the API's port."""
    port = int(server.api_url.rsplit(":", 1)[1])
    return [pid for pid in server.children() if listening_on(pid, port)]


def admin_process(server: ServerProcess) -> int:
    """The child that does not listen on the API's port."""
    port = int(server.api_url.rsplit(":", 1)[1])
    (found,) = [pid for pid in server.children() if not listening_on(pid, port)]
    return found


def wait_for_admin(server: ServerProcess) -> None:
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(Unavailable):
            ask(server.data_dir, "status", messages.Status)
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)
