"""Audit sinks through the real server: records arrive, and a required sink that is gone stops operations."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx

from tests.e2e.support.api_client import ApiClient
from tests.eventually import eventually
from tests.server_process import ServerProcess

SIGN = {"key_id": "k", "message": "aGVsbG8="}


def table(**members: str | int) -> str:
    return "{" + ", ".join(f"{key} = {json.dumps(value)}" for key, value in members.items()) + "}"


def metric(server: ServerProcess, line: str) -> float:
    text = httpx.get(f"{server.admin_url}/metrics", timeout=10).text
    return float(next(each for each in text.splitlines() if each.startswith(f"{line} ")).split()[-1])


def log_lines(server: ServerProcess) -> list[bytes]:
    segments = sorted((server.data_dir / "audit").glob("audit-*.jsonl"))
    return [line for segment in segments for line in segment.read_bytes().splitlines()]


def missing_of(server: ServerProcess) -> list[str]:
    missing: list[str] = httpx.get(f"{server.admin_url}/readyz", timeout=10).json()["missing"]
    return missing


def told_of_backends(server: ServerProcess) -> list[tuple[str, str]]:
    lines = (server.data_dir / "bus" / "kms.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return [(one["event"], one["fields"]["backend"]) for one in events if one["event"].startswith("Backend")]


def test_a_required_sink_that_is_gone_stops_operations_until_it_is_back(tmp_path: Path) -> None:
    directory = tmp_path / "sinks"
    directory.mkdir()
    needed, other = directory / "needed.jsonl", directory / "other.cef"
    sinks = [
        table(name="needed", target=f"file:{needed}", policy="required", backoff_max_ms=200),
        table(name="other", target=f"file:{other}", format="cef"),
    ]
    server = ServerProcess(tmp_path / "data", env={"KMS_AUDIT_SINKS": f"[{', '.join(sinks)}]"})
    with server:
        api = ApiClient(server.api_url, server.token)
        for key_id in ("k", "l"):
            created = api.post("/v1/kms/keys", {"alg": "Ed25519", "usage": "sign", "key_id": key_id})
            assert created.status == 201
        signature = ""
        for _ in range(20):  # the compiled path has learnt the key by then
            signature = api.post("/v1/kms/sign", SIGN).body["signature"]
        verify = {**SIGN, "signature": signature}
        assert api.post("/v1/kms/verify", verify).body["valid"]
        shown = server.ronctl("audit", "sinks", "test", "needed").stdout
        assert "was taken after" in shown

        # Whatever opens the file from now on meets a directory.
        rotated = directory / "needed.1"
        needed.rename(rotated)
        needed.mkdir()
        began = time.monotonic()
        eventually(lambda: api.post("/v1/kms/sign", SIGN).status == 503, "never refused")
        print(f"refused {time.monotonic() - began:.2f} s after the file was gone")
        before = len(log_lines(server))
        for path, body in (
            ("sign", SIGN),
            ("sign", {"items": [SIGN, SIGN]}),
            ("verify", verify),
            ("keys/k/disable", {}),
            ("keys", {"alg": "Ed25519", "usage": "sign", "key_id": "m"}),
        ):
            refused = api.post(f"/v1/kms/{path}", body)
            assert (refused.status, refused.body["code"]) == (503, "audit_unavailable"), path
            assert refused.headers["retry-after"]
        assert len(log_lines(server)) == before, "nothing was done that would need a record"
        assert httpx.get(f"{server.admin_url}/healthz", timeout=10).status_code == 200
        # The workers refuse by the lease; readiness is another process, and looks ten times a second.
        eventually(lambda: missing_of(server), "readiness never told of it")
        assert any("audit sink needed: " in one for one in missing_of(server))
        assert httpx.get(f"{server.admin_url}/readyz", timeout=10).status_code == 503
        assert metric(server, 'kms_audit_sink_up{sink="needed"}') == 0
        assert metric(server, 'kms_audit_sink_holding{sink="needed"}') == 1
        assert metric(server, 'kms_audit_sink_up{sink="other"}') == 1
        listed = server.ronctl("audit", "sinks", check=False)
        assert listed.returncode == 4
        assert "required, holds operations back" in listed.stdout
        server.mint(op=["sign"])  # an operator can still act

        needed.rmdir()
        eventually(lambda: api.post("/v1/kms/sign", SIGN).status == 200, "never served again")
        assert api.post("/v1/kms/verify", verify).body["valid"]
        server.ronctl("audit", "sinks", "test", "needed")
        api.close()
        eventually(lambda: metric(server, "kms_ready") == 1, "never ready again")
        told = [("BackendDown", "audit:needed"), ("BackendUp", "audit:needed")]
        eventually(lambda: told_of_backends(server) == told, "not told")
    lines = log_lines(server)
    assert rotated.read_bytes().splitlines() + needed.read_bytes().splitlines() == lines
    assert len(other.read_bytes().splitlines()) == len(lines)
    assert all(line.startswith(b"CEF:0|ron-kms|") for line in other.read_bytes().splitlines())
    server.ronctl("audit", "verify")
