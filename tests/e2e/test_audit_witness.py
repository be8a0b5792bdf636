"""A real witness process notices that a copy of the whole data directory was put back."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.eventually import eventually
from tests.server_process import NotReadyError, ServerProcess, free_port


@contextmanager
def witness_process(server: ServerProcess, state: Path, port: int) -> Iterator[str]:
    """Gives the witness's key."""
    keys = [part for key in server.ronctl("audit", "keys").stdout.split() for part in ("--key", key)]
    command = ["audit", "witness", "serve", "--state", str(state), "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(
        [sys.executable, "-m", "ronkms.cli.ronctl", *command, "--name", "witness/w1", *keys],
        env=server.env,
        text=True,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def metric(server: ServerProcess, name: str) -> float:
    text = httpx.get(f"{server.admin_url}/metrics", timeout=10).text
    return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])


def sign(server: ServerProcess, count: int) -> None:
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.api_url, headers=headers) as client:
        client.post("/v1/kms/keys", json={"alg": "Ed25519", "usage": "sign", "key_id": "k"})
        for _ in range(count):
            client.post("/v1/kms/sign", json={"key_id": "k", "message": "aGVsbG8="}).raise_for_status()


def test_a_copy_of_the_directory_put_back_is_noticed(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data")
    port = free_port()
    with server:
        sign(server, 5)
    with witness_process(server, tmp_path / "witness", port) as key:
        arguments = ("audit", "witness", "submit", "--url", f"http://127.0.0.1:{port}", "--key", key)
        for _ in range(100):
            shown = server.ronctl(*arguments, check=False)
            if shown.returncode != 4:  # it listens
                break
        assert shown.stdout.startswith("cosigned: "), shown.stderr
        shutil.copytree(server.data_dir, tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock"))
        with server:
            sign(server, 5)
        assert server.ronctl(*arguments).stdout.startswith("cosigned: ")
        cosigned = str(server.data_dir / "audit" / "checkpoints" / "cosigned")
        server.ronctl("audit", "verify", "--checkpoint", cosigned)
        kept = tmp_path / "kept"
        shutil.copy(cosigned, kept)
        shutil.rmtree(server.data_dir)
        shutil.move(tmp_path / "copy", server.data_dir)
        server.ronctl("audit", "verify")
        shown = server.ronctl(*arguments, check=False)
        assert shown.returncode == 3
        assert "the directory was rolled back" in shown.stderr
        assert server.ronctl("audit", "verify", "--checkpoint", str(kept), check=False).returncode == 3


def test_the_server_reports_and_asks_at_the_start(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data")
    port = free_port()
    with server:
        sign(server, 5)
    shutil.copytree(server.data_dir, tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock"))
    cosigned = server.data_dir / "audit" / "checkpoints" / "cosigned"
    with witness_process(server, tmp_path / "witness", port) as key:
        server.env |= {"KMS_AUDIT_WITNESS_URL": f"http://127.0.0.1:{port}", "KMS_AUDIT_WITNESS_KEY": key}
        with server:
            sign(server, 5)
            records = (server.data_dir / "audit" / "audit-00000001.jsonl").read_bytes().count(b"\n")
            eventually(lambda: cosigned.exists() and int(cosigned.read_text().split("\n")[1]) >= records)
            assert 0 <= metric(server, "kms_audit_witness_age_seconds") < 60
            assert metric(server, "kms_audit_witness_failed_total") == 0
        shutil.rmtree(server.data_dir)
        shutil.move(tmp_path / "copy", server.data_dir)
        with pytest.raises(NotReadyError, match="the directory was rolled back"):
            server.start()
    server.start()
    assert any("audit_witness_unavailable" in line for line in server.stderr), "a dead one is reported"
    eventually(lambda: metric(server, "kms_audit_witness_failed_total"))
    age = metric(server, "kms_audit_witness_age_seconds")
    time.sleep(0.2)
    assert metric(server, "kms_audit_witness_age_seconds") >= age + 0.1
    assert server.stop() == 0
    server.env["KMS_AUDIT_WITNESS_REQUIRED"] = "true"
    with pytest.raises(NotReadyError, match="audit_witness_url"):
        server.start()
