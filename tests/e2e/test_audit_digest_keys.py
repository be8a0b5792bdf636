"""Digest keys of a real server: rotated under load, escrowed to an auditor, checked record by record.

The auditor of the load test shares no code with the server (docs/formats/audit-digest.md).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.eventually import eventually
from tests.server_process import NotReadyError, ServerProcess
from tests.unit.audit.digest_parts import Auditor

ROTATIONS = 6


def headers(server: ServerProcess) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.token}"}


def audit_records(server: ServerProcess) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted((server.data_dir / "audit").glob("audit-*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]


class Load:
    """Signs, verifies and wraps without pause; remembers what each corr_id had as input."""

    def __init__(self, server: ServerProcess, number: int) -> None:
        self.inputs: dict[str, bytes] = {}
        self.failed: list[str] = []
        self._server = server
        self._number = number
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        signature = ""
        with httpx.Client(base_url=self._server.api_url, headers=headers(self._server), timeout=30) as client:
            turn = 0
            while not self._stop.is_set():
                turn += 1
                # The same message again and again: verdicts are cached, and the native engine answers.
                message = b"message %d" % (turn % 5)
                op = ("sign", "verify", "wrap")[turn % 7 if turn % 7 < 3 else 0]
                if op == "verify" and not signature:
                    continue
                corr_id = f"load-{self._number}-{turn}"
                if op == "wrap":
                    body = {"key_id": "w", "plaintext": base64.b64encode(message).decode()}
                    self.inputs[corr_id] = message
                else:
                    body = {"key_id": "k", "message": base64.b64encode(message).decode()}
                    body |= {"signature": signature} if op == "verify" else {}
                    self.inputs[corr_id] = hashlib.sha256(message).digest()
                answer = client.post(f"/v1/kms/{op}", json=body, headers={"X-Correlation-ID": corr_id})
                if answer.status_code != 200:
                    self.failed.append(answer.text)
                elif op == "sign":
                    signature = answer.json()["signature"]


def make_keys(server: ServerProcess) -> None:
    with httpx.Client(base_url=server.api_url, headers=headers(server)) as client:
        for key_id, alg, usage in (("k", "Ed25519", "sign"), ("w", "AES-256-GCM", "wrap")):
            made = client.post("/v1/kms/keys", json={"alg": alg, "usage": usage, "key_id": key_id})
            made.raise_for_status()


def test_every_digest_under_load_is_of_exactly_the_epoch_that_its_record_names(tmp_path: Path) -> None:
    auditor = Auditor()
    public = tmp_path / "auditor.pub"
    public.write_text(auditor.recipient.encoded() + "\n")
    env = {"KMS_WORKERS": "2", "KMS_AUDIT_ESCROW_PUBLIC_KEY": str(public)}
    inputs: dict[str, bytes] = {}
    announced: list[int] = []
    with ServerProcess(tmp_path / "data", env) as server:
        make_keys(server)
        loads = [Load(server, number) for number in range(3)]
        with loads[0], loads[1], loads[2]:
            for _ in range(ROTATIONS):
                time.sleep(0.3)
                shown = server.ronctl("audit", "rotate-digest-key").stdout
                announced.append(int(shown.split()[1].rstrip(":")))
            time.sleep(0.3)
        for load in loads:
            assert load.failed == []
            inputs |= load.inputs
        # What begins after the call has returned has the new epoch, in every worker.
        server.ronctl("audit", "rotate-digest-key")
        with httpx.Client(base_url=server.api_url, headers=headers(server)) as client:
            for number in range(40):
                corr_id = f"after-{number}"
                inputs[corr_id] = hashlib.sha256(b"hello").digest()
                body = {"key_id": "k", "message": "aGVsbG8="}
                client.post(
                    "/v1/kms/sign", json=body, headers={"X-Correlation-ID": corr_id}
                ).raise_for_status()
        assert "good: " in server.ronctl("audit", "verify").stdout
    records = audit_records(server)
    origin = json.loads((server.data_dir / "audit" / "log-keys.json").read_bytes())["origin"]
    keys = {
        record["dk"]: auditor.open(base64.b64decode(record["escrow"]["sealed"]), origin, record["dk"])
        for record in records
        if record["op"] == "digest_key"
    }
    assert announced == list(range(2, ROTATIONS + 2))
    assert sorted(keys) == list(range(1, ROTATIONS + 3))
    assert len(set(keys.values())) == len(keys)
    checked: dict[int, int] = {}
    for record in records:
        if record["corr_id"] not in inputs:
            continue
        given = inputs.pop(record["corr_id"])
        assert record["digest"] == auditor.digest(keys[record["dk"]], given), record
        checked[record["dk"]] = checked.get(record["dk"], 0) + 1
        if record["corr_id"].startswith("after-"):
            assert record["dk"] == ROTATIONS + 2
    assert inputs == {}, "every answered operation has its record"
    assert set(checked) == set(keys), checked


def test_the_auditor_opens_an_escrow_and_checks_a_guess(tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery staple\n")
    secret.chmod(0o600)
    private, public = tmp_path / "auditor.key", tmp_path / "auditor.pub"
    protected = ("--private", str(private), "--passphrase-file", str(secret))
    server = ServerProcess(tmp_path / "data", {"KMS_AUDIT_ESCROW_PUBLIC_KEY": str(public)})
    with pytest.raises(NotReadyError, match="audit_escrow_public_key: cannot read"):
        server.start()
    fingerprint = server.ronctl("audit", "escrow-keygen", *protected, "--public", str(public)).stdout.strip()
    with server:
        make_keys(server)
        assert fingerprint[:16] in server.ronctl("audit", "digest-keys").stdout
        with httpx.Client(base_url=server.api_url, headers=headers(server)) as client:
            body = {"key_id": "k", "message": base64.b64encode(b"yes").decode(), "receipt": True}
            receipt = client.post("/v1/kms/sign", json=body).json()["receipt"]
        escrow = server.data_dir / "audit" / "escrow" / "epoch-00000001.json"
        eventually(escrow.exists)
        guess = _digest_command(server, str(receipt["index"]))
        assert guess(b"yes").stdout.startswith("match: ")
        assert guess(b"no").returncode == 1
        server.ronctl("audit", "rotate-digest-key")
        assert guess(b"yes").returncode == 0, "an ended epoch's key is kept"
        refused = server.ronctl("audit", "destroy-digest-key", "1", check=False)
        assert "still in the directory" in refused.stderr
        vkeys = server.ronctl("audit", "keys").stdout.split()
        details = [record.get("detail", "") for record in audit_records(server)]
        assert 'audit.digest {"epoch":1}' in details
        assert not any("eWVz" in detail or "data" in detail for detail in details), "no guess is recorded"
    trusted = [part for key in vkeys for part in ("--key", key)]
    shown = server.ronctl("audit", "open-escrow", str(escrow), *protected, *trusted)
    assert shown.stdout.startswith("good: epoch 1 of ron-kms/")
    assert shown.stderr == ""
    offline = _digest_command(server, str(receipt["index"]), "--escrow", str(escrow), *protected, *trusted)
    assert offline(b"yes").stdout.startswith("match: ")
    assert offline(b"no").returncode == 1
    forged = json.loads(escrow.read_bytes())
    forged["record"] = forged["record"].replace('"dk":1', '"dk":2')
    (tmp_path / "forged.json").write_text(json.dumps(forged))
    assert (
        server.ronctl(
            "audit", "open-escrow", str(tmp_path / "forged.json"), *protected, *trusted, check=False
        ).returncode
        == 3
    )


def _digest_command(
    server: ServerProcess, *arguments: str
) -> Callable[[bytes], subprocess.CompletedProcess[str]]:
    def run(guess: bytes) -> subprocess.CompletedProcess[str]:
        return server.ronctl("audit", "digest", *arguments, check=False, stdin=guess.decode())

    return run


def admin_pid(server: ServerProcess) -> int:
    """Who listens on the admin socket, by the kernel's word."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(server.data_dir / "admin.sock"))
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("iII", credentials)[0])


def test_an_admin_process_killed_while_it_rotates_is_taken_over(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", {"KMS_WORKERS": "2"}) as server:
        make_keys(server)
        with Load(server, 1) as load:
            for turn in range(4):
                admin = admin_pid(server)
                rotating = threading.Thread(
                    target=server.ronctl, args=("audit", "rotate-digest-key"), kwargs={"check": False}
                )
                rotating.start()
                time.sleep(0.2 + 0.05 * turn)
                os.kill(admin, signal.SIGKILL)
                rotating.join()
                eventually(lambda: server.ronctl("audit", "digest-keys", check=False).returncode == 0)
        assert load.failed == []
        server.ronctl("audit", "rotate-digest-key")
        assert "good: " in server.ronctl("audit", "verify").stdout
