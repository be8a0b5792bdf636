"""Equal verifies at the same time, over two workers: every answer is right and counted once."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.e2e.support.api_client import ApiClient
from tests.server_process import ServerProcess

CALLERS = 8
ROUNDS = 10


def counter(server: ServerProcess, name: str) -> float:
    rows = httpx.get(f"{server.admin_url}/metrics").text.splitlines()
    return sum(float(row.rpartition(" ")[2]) for row in rows if row.startswith(name))


def test_equal_verifies_at_once_are_answered_and_counted_once_each(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", env={"KMS_WORKERS": "2"}) as server:
        api = ApiClient(server.api_url, server.token)
        api.ok("/v1/kms/keys", {"key_id": "k", "alg": "ML-DSA-65", "usage": "sign"})
        used: list[str] = []
        with ThreadPoolExecutor(CALLERS) as callers:
            for number in range(ROUNDS):
                body = {"key_id": "k", "message": base64.b64encode(b"message %d" % number).decode()}
                body["signature"] = api.ok("/v1/kms/sign", body)["signature"]
                answers = list(callers.map(lambda sent: api.ok("/v1/kms/verify", sent), [body] * CALLERS))
                assert all(answer["valid"] for answer in answers)
                used += [answer["cache"] for answer in answers]
                assert api.ok("/v1/kms/verify", body)["cache"] == "hit"
        assert len(used) == CALLERS * ROUNDS
        assert used.count("miss") >= ROUNDS, "each message is new once"
        assert counter(server, "verify_cache_miss_total") == used.count("miss")
        assert counter(server, "verify_cache_hit_total") == used.count("hit") + ROUNDS
        api.close()
