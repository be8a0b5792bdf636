"""``audit/`` alone, removed or put back from an older copy: the key store remembers how far it had come."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest

from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.audit_records import read_records
from tests.server_process import ServerProcess

SIGN = {"key_id": "k", "message": "aGVsbG8="}


def failures(server: ServerProcess) -> float:
    text = httpx.get(f"{server.admin_url}/metrics", timeout=30).text
    (value,) = [
        line.split()[1] for line in text.splitlines() if line.startswith("kms_audit_integrity_failed_total ")
    ]
    return float(value)


def losses(server: ServerProcess) -> list[str]:
    return [
        record["detail"]
        for record in read_records(server.data_dir)
        if record.get("detail", "").startswith("audit.lost")
    ]


@pytest.mark.parametrize("way", ["removed", "rolled back"])
def test_the_log_alone_does_not_go_back_unnoticed(tmp_path: Path, way: str) -> None:
    server = ServerProcess(tmp_path / "data", env={"KMS_WORKERS": "1"})
    audit, older = server.data_dir / "audit", tmp_path / "older"
    for signatures in (1, 5):
        with server:
            api = ApiClient(server.api_url, server.token)
            if signatures == 1:
                api.ok("/v1/kms/keys", {"key_id": "k", "alg": "Ed25519", "usage": "sign"})
            for _ in range(signatures):
                api.ok("/v1/kms/sign", SIGN)
            api.close()
            assert failures(server) == 0
        if signatures == 1:
            shutil.copytree(audit, older)
    shutil.rmtree(audit)
    if way == "rolled back":
        shutil.copytree(older, audit)
    with server:
        assert failures(server) == 1
        (lost,) = losses(server)
        assert lost.endswith(f"audit/ was {way}")
        api = ApiClient(server.api_url, server.token)
        api.ok("/v1/kms/sign", SIGN)
        api.close()
    with server:
        assert failures(server) == 0, "it is said once"
        assert len(losses(server)) == 1
    server.ronctl("audit", "verify", str(audit))
