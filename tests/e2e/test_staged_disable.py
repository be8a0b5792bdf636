"""A key that is disabled in stages, through all workers, the native engine and a warm cache."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.audit_records import read_records
from tests.server_process import ServerProcess

WORKERS = 3
MESSAGE = base64.b64encode(b"staged").decode()
REQUESTS = 600
CONNECTIONS = 12
FEWEST, MOST = 220, 380
"""Of 600 draws at 50%: beyond 6.5 standard deviations, so not once in 10^10 runs."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    data = tmp_path_factory.mktemp("staged") / "data"
    with ServerProcess(data, env={"KMS_WORKERS": str(WORKERS)}) as running:
        yield running


@pytest.fixture
def clients(server: ServerProcess) -> Iterator[list[ApiClient]]:
    """A connection stays with its worker: so many reach all of them."""
    opened = [ApiClient(server.api_url, server.token) for _ in range(CONNECTIONS)]
    yield opened
    for client in opened:
        client.close()


def statuses(clients: list[ApiClient], path: str, body: dict[str, Any], count: int) -> Counter[int]:
    return Counter(clients[turn % len(clients)].post(path, body).status for turn in range(count))


def signing_key(api: ApiClient, key_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(body that signs, body that verifies)."""
    api.ok("/v1/kms/keys", {"key_id": key_id, "alg": "Ed25519", "usage": "sign"})
    sign = {"key_id": key_id, "message": MESSAGE}
    return sign, sign | {"signature": api.ok("/v1/kms/sign", sign)["signature"]}


def refusals(server: ServerProcess) -> float:
    text = httpx.get(f"{server.admin_url}/metrics").text
    (line,) = [line for line in text.splitlines() if line.startswith("kms_staged_refusals_total ")]
    return float(line.split()[1])


def test_half_of_the_requests_are_refused_in_all_workers(
    server: ServerProcess, clients: list[ApiClient]
) -> None:
    api = clients[0]
    sign, verify = signing_key(api, "half")
    # Engine and cache are warm in every worker.
    for path, body in (("/v1/kms/sign", sign), ("/v1/kms/verify", verify)):
        assert statuses(clients, path, body, 6 * CONNECTIONS) == {200: 6 * CONNECTIONS}
    assert api.ok("/v1/kms/verify", verify)["cache"] == "hit"
    shown = json.loads(server.ronctl("keys", "disable", "half", "--percent", "50").stdout)
    assert shown["staged_disabling"]["refused_percent"] == 50
    before = refusals(server)
    refused = 0
    for path, body in (("/v1/kms/sign", sign), ("/v1/kms/verify", verify)):
        found = statuses(clients, path, body, REQUESTS)
        assert set(found) == {200, 409}
        assert FEWEST < found[409] < MOST
        refused += found[409]
    assert refusals(server) - before == refused
    answer = next(answer for _ in range(200) if (answer := api.post("/v1/kms/sign", sign)).status == 409)
    assert answer.body["code"] == "key_disabled"
    assert "in stages: 50%" in answer.body["detail"]
    # A refusal is no verdict on the next request: it may be repeated.
    assert 200 in statuses(clients, "/v1/kms/sign", sign, 60)
    assert api.ok("/v1/kms/keys/half/enable")["state"] == "enabled"
    for path, body in (("/v1/kms/sign", sign), ("/v1/kms/verify", verify)):
        assert statuses(clients, path, body, 5 * CONNECTIONS) == {200: 5 * CONNECTIONS}
    uses = api.ok("/v1/kms/keys/half/destroy", {"dry_run": True})["dry_run"]["uses"]
    assert sum(use["count"] for use in uses if use.get("refused")) >= refused


def test_a_schedule_ends_as_disabled_everywhere(server: ServerProcess, clients: list[ApiClient]) -> None:
    api = clients[0]
    sign, _ = signing_key(api, "fading")
    api.ok("/v1/kms/keys/fading/disable", {"over": 3})
    states = set()
    while (described := api.get("/v1/kms/keys/fading").body)["state"] == "enabled":
        states.add(described["staged_disabling"]["target_percent"])
        api.post("/v1/kms/sign", sign)
        time.sleep(0.05)
    assert (described["state"], states) == ("disabled", {100})
    assert statuses(clients, "/v1/kms/sign", sign, 2 * CONNECTIONS) == {409: 2 * CONNECTIONS}
    records = [record for record in read_records(server.data_dir) if record.get("key_id") == "fading"]
    ended = [record for record in records if record["token"] == "system:disabling"]
    assert [(record["phase"], record["outcome"]) for record in ended] == [("intent", "ok"), ("outcome", "ok")]
    lines = (server.data_dir / "bus" / "kms.jsonl").read_text().splitlines()
    events = [event["fields"] for event in map(json.loads, lines) if event["event"] == "KeyStateChanged"]
    told = [fields for fields in events if fields["key_id"] == "fading"]
    assert [(fields["state"], fields.get("over_seconds")) for fields in told] == [
        ("enabled", None),
        ("enabled", 3),
        ("disabled", None),
    ]


def test_a_restart_keeps_the_stage(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data")
    server.start()
    try:
        api = ApiClient(server.api_url, server.token)
        sign, _ = signing_key(api, "kept")
        signing_key(api, "due")
        api.ok("/v1/kms/keys/kept/disable", {"percent": 99})
        api.ok("/v1/kms/keys/due/disable", {"over": 1})
        api.close()
        server.kill()
        server.start()
        api = ApiClient(server.api_url, server.token)
        assert api.get("/v1/kms/keys/kept").body["staged_disabling"]["refused_percent"] == 99
        assert statuses([api], "/v1/kms/sign", sign, 60)[409] >= 40
        while api.get("/v1/kms/keys/due").body["state"] == "enabled":
            time.sleep(0.05)
        api.close()
    finally:
        server.kill()
