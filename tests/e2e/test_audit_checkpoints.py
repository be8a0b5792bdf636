"""Tree, checkpoints and proofs of a real server's log, verified by ``ronctl`` and by independent code."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.eventually import eventually
from tests.server_process import NotReadyError, ServerProcess

VERIFIER = Path(__file__).resolve().parent.parent / "independent_audit_verifier.py"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "data") as running:
        yield running


def headers(server: ServerProcess) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.token}"}


def sign(server: ServerProcess, count: int) -> None:
    with httpx.Client(base_url=server.api_url, headers=headers(server)) as client:
        client.post("/v1/kms/keys", json={"alg": "Ed25519", "usage": "sign", "key_id": "k"})
        for _ in range(count):
            client.post("/v1/kms/sign", json={"key_id": "k", "message": "aGVsbG8="}).raise_for_status()


def size_of(note: str) -> int:
    return int(note.split("\n")[1]) if note else 0


def covered(server: ServerProcess) -> None:
    records = int(server.ronctl("audit", "head").stdout.partition(":")[0])
    eventually(lambda: size_of(server.ronctl("audit", "checkpoint").stdout) >= records)


def independent(server: ServerProcess, *arguments: str) -> str:
    keys = server.ronctl("audit", "keys").stdout.split()
    done = subprocess.run(
        [sys.executable, "-I", str(VERIFIER), str(server.data_dir / "audit"), *keys, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def failures(server: ServerProcess) -> float:
    for line in httpx.get(server.admin_url + "/metrics").text.splitlines():
        if line.startswith("kms_audit_integrity_failed_total "):
            return float(line.split()[1])
    raise AssertionError("no such metric")


def test_a_log_proves_itself(server: ServerProcess, tmp_path: Path) -> None:
    sign(server, 40)
    covered(server)
    keys = server.ronctl("audit", "keys").stdout.split()
    assert len(keys) == 2
    proof, kept = tmp_path / "proof.json", tmp_path / "kept"
    proof.write_text(server.ronctl("audit", "prove", "17").stdout)
    kept.write_text(server.ronctl("audit", "checkpoint").stdout)
    as_options = [part for key in keys for part in ("--key", key)]
    shown = server.ronctl("audit", "verify", "--proof", str(proof), *as_options)
    assert shown.stdout.startswith("good: record 17 is in ron-kms/")
    assert shown.stderr == ""
    assert json.loads(json.loads(proof.read_text())["record"])["seq"] == 17
    shown = server.ronctl("audit", "verify", "--checkpoint", str(kept), *as_options)
    assert "checkpoints" in shown.stdout
    consistency = tmp_path / "consistency.json"
    consistency.write_text(server.ronctl("audit", "prove", "--from", "5", "--to", "30").stdout)
    shown = server.ronctl("audit", "verify", "--proof", str(consistency), *as_options)
    assert "the tree of 30 records continues that of 5" in shown.stdout
    found = independent(server, "--proof", str(proof), "--checkpoint", str(kept))
    assert "proof of record 17" in found
    assert "signatures of kinds [1, 6] on each" in found


def test_goes_on_after_stop_kill_and_the_death_of_the_admin_process(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data")
    with server:
        sign(server, 10)
    before = size_of(server.ronctl("audit", "checkpoint").stdout)
    assert f"good: {before} records" in server.ronctl("audit", "verify").stdout, (
        "the shutdown signs everything"
    )
    server.start()
    sign(server, 10)
    server.kill()
    with server:
        sign(server, 10)
        covered(server)
        admin, *_ = server.children()
        os.kill(admin, signal.SIGKILL)
        eventually(lambda: admin not in server.children())
        eventually(lambda: server.ronctl("audit", "head", check=False).returncode == 0)
        sign(server, 10)
        covered(server)
        independent(server)
    assert "signatures of kinds [1, 6]" in independent(server)


def test_keys_rotate(server: ServerProcess) -> None:
    sign(server, 3)
    covered(server)
    old = server.ronctl("audit", "keys").stdout.split()
    new = server.ronctl("audit", "rotate-keys").stdout.split()
    assert server.ronctl("audit", "keys").stdout.split() == old + new
    sign(server, 3)
    covered(server)
    details = [
        json.loads(line).get("detail", "")
        for line in (server.data_dir / "audit" / "audit-00000001.jsonl").read_text().splitlines()
    ]
    ids = ",".join(key.split("+")[1] for key in new)
    assert f"audit.rotate entry=2 ids={ids}" in details
    independent(server)


def test_a_changed_record_is_counted_while_running_and_stops_the_start(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data")
    with server:
        sign(server, 30)
        covered(server)
        assert failures(server) == 0
        segment = server.data_dir / "audit" / "audit-00000001.jsonl"
        with segment.open("r+b") as file:
            at = file.read().index(b'"outcome":"ok"', 2000) + len(b'"outcome":"o')
            file.seek(at)
            file.write(b"K")
        eventually(lambda: failures(server) > 0)
        assert any("audit_integrity_failed" in line for line in server.stderr)
        assert server.ronctl("audit", "verify", check=False).returncode == 3
    with pytest.raises(NotReadyError, match="audit"):
        server.start()


def test_a_roll_back_of_the_segments_alone_stops_the_start(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data")
    audit = server.data_dir / "audit"
    with server:
        sign(server, 10)
    shutil.copy(audit / "audit-00000001.jsonl", tmp_path / "older.jsonl")
    with server:
        sign(server, 10)
    shutil.copy(tmp_path / "older.jsonl", audit / "audit-00000001.jsonl")
    with pytest.raises(NotReadyError, match="cut off or rolled back"):
        server.start()


def test_receipts(server: ServerProcess, tmp_path: Path) -> None:
    sign(server, 5)
    body = {"key_id": "k", "message": "aGVsbG8=", "receipt": True}
    with httpx.Client(base_url=server.api_url, headers=headers(server)) as client:
        answers = [
            client.post("/v1/kms/sign", json=body, headers={"X-Correlation-ID": f"receipt-{number}"})
            for number in range(8)
        ]
    for number, answer in enumerate(answers):
        assert answer.status_code == 200, answer.text
        receipt = tmp_path / f"receipt-{number}.json"
        receipt.write_text(json.dumps(answer.json()["receipt"]))
        record = json.loads(answer.json()["receipt"]["record"])
        assert (record["op"], record["corr_id"], record["key_id"]) == ("sign", f"receipt-{number}", "k")
        shown = server.ronctl("audit", "verify", "--proof", str(receipt)).stdout
        assert shown.startswith(f"good: record {record['seq']} is in ")
        assert f"proof of record {record['seq']}" in independent(server, "--proof", str(receipt))


def test_no_receipt_while_the_admin_process_stands_still(server: ServerProcess) -> None:
    """Fails closed: no answer without a checkpoint, though the record is written."""
    sign(server, 1)
    covered(server)
    admin, *_ = server.children()
    os.kill(admin, signal.SIGSTOP)
    try:
        body = {"key_id": "k", "message": "aGVsbG8=", "receipt": True}
        answer = httpx.post(f"{server.api_url}/v1/kms/sign", json=body, headers=headers(server), timeout=30)
    finally:
        os.kill(admin, signal.SIGCONT)
    assert (answer.status_code, answer.json()["code"]) == (503, "audit_unavailable")
    last = (server.data_dir / "audit" / "audit-00000001.jsonl").read_bytes().splitlines()
    assert any(answer.json()["corr_id"].encode() in line for line in last)
