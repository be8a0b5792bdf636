"""A flood without a token leaves one number in the audit log, not a record each."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.e2e.support.audit_records import read_records
from tests.server_process import ServerProcess

FLOOD = 300


def test_a_flood_without_a_token_is_summarized(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server, httpx.Client() as client:
        before = len(read_records(server.data_dir))
        for _ in range(FLOOD):
            assert client.post(f"{server.api_url}/v1/kms/sign", json={}).status_code == 401
        bad = client.post(f"{server.api_url}/v1/kms/sign", headers={"Authorization": "Bearer x"}, json={})
        assert bad.status_code == 401
    records = read_records(server.data_dir)[before:]
    summaries = [record for record in records if record["op"] == "summary"]
    # One every 10 seconds, and one at the end of the server.
    assert 1 <= len(summaries) == len(records) < FLOOD / 10
    assert sum(record["counts"].get("unauthenticated", 0) for record in summaries) == FLOOD + 1
    assert {record["outcome"] for record in summaries} == {"rejected"}
    server.ronctl("audit", "verify", str(server.data_dir / "audit"))
