"""Who used a key last: known at once in all workers, also of the native engine, over kill and restart."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.audit_records import read_records
from tests.server_process import ServerProcess

MESSAGE = base64.b64encode(b"usage").decode()
REPEATS = 20
"""Of a request, on one connection: the engine answers from the second or third on."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    data = tmp_path_factory.mktemp("key-usage") / "data"
    with ServerProcess(data, env={"KMS_WORKERS": "2"}) as running:
        yield running


@pytest.fixture
def api(server: ServerProcess) -> Iterator[ApiClient]:
    client = ApiClient(server.api_url, server.token)
    yield client
    client.close()


def last_used(api: ApiClient, key_id: str) -> dict[int, dict[str, Any]]:
    versions = api.get(f"/v1/kms/keys/{key_id}").body["versions"]
    return {version["key_version"]: version.get("last_used", {}) for version in versions}


def counts(api: ApiClient, key_id: str) -> dict[tuple[int, str], int]:
    return {
        (version, op): use["count"]
        for version, uses in last_used(api, key_id).items()
        for op, use in uses.items()
    }


def make(api: ApiClient, key_id: str, alg: str = "Ed25519", usage: str = "sign") -> None:
    api.ok("/v1/kms/keys", {"key_id": key_id, "alg": alg, "usage": usage})


def test_every_use_is_known_when_it_is_answered(server: ServerProcess, api: ApiClient) -> None:
    make(api, "orders")
    make(api, "mail")
    make(api, "box", "AES-256-GCM", "wrap")
    began = int(time.time())
    token = server.mint(op=["sign"], key="orders")
    sign = {"key_id": "orders", "message": MESSAGE}
    assert last_used(api, "orders") == {1: {}}
    for _ in range(REPEATS):
        signature = api.ok("/v1/kms/sign", sign)["signature"]
        assert counts(api, "orders")[1, "sign"] >= 1
    for _ in range(REPEATS):
        api.ok("/v1/kms/verify", sign | {"signature": signature})
    assert counts(api, "orders") == {(1, "sign"): REPEATS, (1, "verify"): REPEATS}
    api.ok("/v1/kms/keys/rotate", {"key_id": "orders"})
    other = api.post("/v1/kms/sign", sign, authorization=f"Bearer {token}")
    assert (other.status, other.body["key_version"]) == (200, 2)
    # A batch over several keys and versions; an item that fails is no use.
    api.ok("/v1/kms/sign", {"items": [sign, sign, sign | {"key_id": "mail"}, sign | {"key_id": "box"}]})
    api.ok("/v1/kms/verify", {"items": [sign | {"signature": signature}, sign | {"signature": MESSAGE}]})
    assert counts(api, "orders") == {
        (1, "sign"): REPEATS,
        (1, "verify"): REPEATS + 1,
        (2, "sign"): 3,
        (2, "verify"): 1,
    }
    assert counts(api, "mail") == {(1, "sign"): 1}
    wrapped = api.ok("/v1/kms/wrap", {"key_id": "box", "plaintext": MESSAGE})["ciphertext"]
    api.ok("/v1/kms/unwrap", {"key_id": "box", "ciphertext": wrapped})
    api.ok("/v1/kms/datakey", {"key_id": "box"})
    assert counts(api, "box") == {(1, "wrap"): 2, (1, "unwrap"): 1}
    use = last_used(api, "orders")[2]["sign"]
    assert began <= use["at"] <= int(time.time())
    (batch,) = [
        record for record in read_records(server.data_dir) if record.get("keys") and record["op"] == "sign"
    ]
    assert batch["keys"] == {"orders/2": 2, "mail/1": 1}


def test_destruction_of_a_key_in_use(server: ServerProcess, api: ApiClient) -> None:
    make(api, "fresh")
    idle = server.ronctl("keys", "destroy", "fresh", "--dry-run")
    assert "no use since" in idle.stdout
    api.ok("/v1/kms/sign", {"key_id": "fresh", "message": MESSAGE})
    shown = server.ronctl("keys", "destroy", "fresh", "--dry-run", check=False)
    assert shown.returncode == 1, shown.stdout
    token = last_used(api, "fresh")[1]["sign"]["token"]
    row = next(line.split() for line in shown.stdout.splitlines() if line.endswith(token))
    assert (row[0], row[1], row[4]) == ("1", "sign", "1")
    assert f"by token {token}" in shown.stdout
    as_json = server.ronctl("keys", "destroy", "fresh", "--dry-run", "--json", "--force")
    assert json.loads(as_json.stdout)["dry_run"]["allowed"] is True
    refused = api.post("/v1/kms/keys/fresh/destroy", {})
    assert (refused.status, refused.body["code"]) == (409, "conflict")
    assert server.ronctl("keys", "destroy", "fresh", check=False).returncode == 1
    assert api.get("/v1/kms/keys/fresh").body["state"] == "enabled"
    api.ok("/v1/kms/keys/fresh/disable")
    assert api.post("/v1/kms/sign", {"key_id": "fresh", "message": MESSAGE}).status == 409
    tried = api.ok("/v1/kms/keys/fresh/destroy", {"dry_run": True})["dry_run"]["uses"]
    assert [use.get("refused", False) for use in tried].count(True) == 1
    done = json.loads(server.ronctl("keys", "destroy", "fresh", "--force").stdout)
    assert done["state"] == "destroy_scheduled"


def test_uses_survive_kill_and_restart(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", env={"KMS_WORKERS": "2", "KMS_DESTROY_RECENT_USE_DAYS": "0"})
    server.start()
    try:
        api = ApiClient(server.api_url, server.token)
        make(api, "kept")
        expected = 0
        for _ in range(3):
            for _ in range(10):
                api.ok("/v1/kms/sign", {"key_id": "kept", "message": MESSAGE})
            expected += 10
            time.sleep(1.0)
        api.close()
        server.kill()
        server.start()
        api = ApiClient(server.api_url, server.token)
        assert counts(api, "kept") == {(1, "sign"): expected}
        # With 0 days nothing stands against it.
        assert api.ok("/v1/kms/keys/kept/destroy", {"dry_run": True})["dry_run"]["allowed"] is True
        api.ok("/v1/kms/keys/kept/destroy")
        api.close()
    finally:
        server.kill()
