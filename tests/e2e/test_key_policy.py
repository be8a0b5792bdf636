"""A key's policy, over the real port: in effect in all workers at once, recorded, and kept over a restart."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Any

import pytest

from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.audit_records import read_records
from tests.server_process import ServerProcess

WORKERS = 3
FRESH_CONNECTIONS = 24
"""A connection stays with its worker: so many at a time reach all of them."""
MESSAGE = base64.b64encode(b"policy").decode()
PAST = 1_000_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    data = tmp_path_factory.mktemp("key-policy") / "data"
    with ServerProcess(data, env={"KMS_WORKERS": str(WORKERS)}) as running:
        yield running


@pytest.fixture
def api(server: ServerProcess) -> Iterator[ApiClient]:
    client = ApiClient(server.api_url, server.token)
    yield client
    client.close()


def everywhere(server: ServerProcess, path: str, body: dict[str, Any]) -> set[tuple[int, str]]:
    """(status, problem code) of the same request on many fresh connections, twice on each."""

    def ask(_: int) -> list[tuple[int, str]]:
        client = ApiClient(server.api_url, server.token)
        try:
            answers = [client.post(path, body) for _ in range(2)]
        finally:
            client.close()
        return [(answer.status, answer.body.get("code", "")) for answer in answers]

    with ThreadPoolExecutor(FRESH_CONNECTIONS) as pool:
        return {each for answers in pool.map(ask, range(FRESH_CONNECTIONS)) for each in answers}


def set_policy(api: ApiClient, key_id: str, **change: Any) -> dict[str, Any]:
    policy: dict[str, Any] = api.ok(f"/v1/kms/keys/{key_id}/policy", change)["policy"]
    return policy


def signing_key(api: ApiClient, key_id: str, **policy: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A new key; (body that signs, body that verifies)."""
    api.ok("/v1/kms/keys", {"key_id": key_id, "alg": "Ed25519", "usage": "sign", "policy": policy})
    sign = {"key_id": key_id, "message": MESSAGE}
    return sign, sign | {"signature": api.ok("/v1/kms/sign", sign)["signature"]}


OK = {(200, "")}
REFUSED = {(409, "key_disabled")}


def test_a_closed_window_refuses_in_every_worker_and_opens_again(
    server: ServerProcess, api: ApiClient
) -> None:
    sign, verify = signing_key(api, "window")
    for path, body in (("/v1/kms/sign", sign), ("/v1/kms/verify", verify)):
        assert everywhere(server, path, body) == OK
    assert set_policy(api, "window", not_after=PAST) == {"not_after": PAST}
    for path, body in (("/v1/kms/sign", sign), ("/v1/kms/verify", verify)):
        assert everywhere(server, path, body) == REFUSED
        (item,) = api.ok(path, {"items": [body]})["items"]
        assert (item["status"], item["error"]["code"]) == (409, "key_disabled")
    assert "not_after" in api.post("/v1/kms/sign", sign).body["detail"]
    later = int(time.time()) + 3600
    assert set_policy(api, "window", not_after=None, not_before=later) == {"not_before": later}
    assert everywhere(server, "/v1/kms/sign", sign) == REFUSED
    assert api.ok("/v1/kms/keys/rotate", {"key_id": "window"})["key_version"] == 2
    assert set_policy(api, "window", not_before=None) == {}
    for path, body in (("/v1/kms/sign", sign), ("/v1/kms/verify", verify)):
        assert everywhere(server, path, body) == OK


def test_a_key_expires_by_itself(server: ServerProcess, api: ApiClient) -> None:
    """Nothing changes but the time; what was answered before must not be answered from memory."""
    sign, verify = signing_key(api, "expiring")
    end = int(time.time()) + 5
    set_policy(api, "expiring", not_after=end)
    served = 0
    for path, body in cycle((("/v1/kms/sign", sign), ("/v1/kms/verify", verify))):
        began = time.time()
        answer = api.post(path, body)
        if answer.status == 409:
            break
        assert (answer.status, began < end) == (200, True)
        served += 1
    assert answer.body["code"] == "key_disabled"
    assert served > 0
    for path, body in (("/v1/kms/sign", sign), ("/v1/kms/verify", verify)):
        assert everywhere(server, path, body) == REFUSED


def test_wrapping_respects_window_and_min_version(server: ServerProcess, api: ApiClient) -> None:
    api.ok("/v1/kms/keys", {"key_id": "box", "alg": "AES-256-GCM", "usage": "wrap"})
    wrap = {"key_id": "box", "plaintext": MESSAGE}
    first = {"key_id": "box", "ciphertext": api.ok("/v1/kms/wrap", wrap)["ciphertext"]}
    api.ok("/v1/kms/keys/rotate", {"key_id": "box"})
    second = {"key_id": "box", "ciphertext": api.ok("/v1/kms/wrap", wrap)["ciphertext"]}
    set_policy(api, "box", min_version=2)
    assert everywhere(server, "/v1/kms/unwrap", first) == REFUSED
    assert everywhere(server, "/v1/kms/unwrap", second) == OK
    set_policy(api, "box", not_after=PAST)
    for path, body in (
        ("/v1/kms/wrap", wrap),
        ("/v1/kms/unwrap", second),
        ("/v1/kms/datakey", {"key_id": "box"}),
    ):
        assert everywhere(server, path, body) == REFUSED
    set_policy(api, "box", not_after=None, min_version=1)
    assert everywhere(server, "/v1/kms/unwrap", first) == OK


def test_signatures_of_versions_below_min_version_do_not_verify(
    server: ServerProcess, api: ApiClient
) -> None:
    sign, verify = signing_key(api, "minimum")
    api.ok("/v1/kms/keys/rotate", {"key_id": "minimum"})
    newer = sign | {"signature": api.ok("/v1/kms/sign", sign)["signature"]}
    assert api.ok("/v1/kms/verify", verify)["valid"] is True
    set_policy(api, "minimum", min_version=2)
    assert api.ok("/v1/kms/verify", newer)["valid"] is True
    assert api.ok("/v1/kms/verify", verify)["valid"] is False
    assert everywhere(server, "/v1/kms/verify", verify | {"key_version": 1}) == REFUSED
    listed = [key for key in api.get("/v1/kms/jwks?limit=1000").body["keys"] if key["key_id"] == "minimum"]
    assert [key["key_version"] for key in listed] == [2]
    api.ok("/v1/kms/keys/minimum/disable", {"key_version": 2})
    assert everywhere(server, "/v1/kms/sign", sign) == REFUSED, "version 1 does not stand in"
    api.ok("/v1/kms/keys/minimum/enable", {"key_version": 2})
    set_policy(api, "minimum", min_version=1)
    assert api.ok("/v1/kms/verify", verify)["valid"] is True


def test_what_a_key_signs_is_narrowed_in_every_worker(server: ServerProcess, api: ApiClient) -> None:
    """Also where the native engine answered plain requests before."""
    api.ok("/v1/kms/keys", {"key_id": "narrow", "alg": "ES256", "usage": "sign"})
    sign = {"key_id": "narrow", "message": MESSAGE}
    raw = sign | {"signature_format": "p1363"}
    digest = (
        sign
        | {"message": base64.b64encode(bytes(32)).decode(), "prehashed": "sha256"}
        | {"signature_format": "p1363"}
    )
    for body in (sign, raw, digest):
        assert everywhere(server, "/v1/kms/sign", body) == OK
    shown = server.ronctl("keys", "policy", "narrow", "--signature-formats", "p1363", "--no-allow-prehashed")
    assert json.loads(shown.stdout)["policy"] == {"prehashed": False, "signature_formats": ["p1363"]}
    assert everywhere(server, "/v1/kms/sign", sign) == {(400, "bad_request")}
    assert everywhere(server, "/v1/kms/sign", digest) == {(400, "bad_request")}
    assert everywhere(server, "/v1/kms/sign", raw) == OK
    server.ronctl("keys", "policy", "narrow", "--signature-formats", "none", "--allow-prehashed")
    for body in (sign, raw, digest):
        assert everywhere(server, "/v1/kms/sign", body) == OK


def test_algorithms_that_a_key_shuts_out_do_nothing_in_any_worker(
    server: ServerProcess, api: ApiClient
) -> None:
    hybrid = "MLDSA65-Ed25519-SHA512"
    sign, verify = signing_key(api, "moved")
    api.ok("/v1/kms/keys/rotate", {"key_id": "moved", "alg": hybrid})
    named = verify | {"key_version": 1}
    for path, body in (("/v1/kms/sign", sign), ("/v1/kms/verify", verify), ("/v1/kms/verify", named)):
        assert everywhere(server, path, body) == OK
    shown = server.ronctl("keys", "policy", "moved", "--algs", hybrid)
    assert json.loads(shown.stdout)["policy"] == {"algs": [hybrid]}
    assert everywhere(server, "/v1/kms/verify", named) == REFUSED
    assert api.ok("/v1/kms/verify", verify)["valid"] is False
    assert {api.ok("/v1/kms/sign", sign)["alg"] for _ in range(8)} == {hybrid}
    assert api.post("/v1/kms/keys/rotate", {"key_id": "moved", "alg": "Ed25519"}).status in (400, 409)
    set_policy(api, "moved", algs=None)
    assert everywhere(server, "/v1/kms/verify", named) == OK


def test_a_change_is_recorded_and_told(server: ServerProcess, api: ApiClient) -> None:
    signing_key(api, "told")
    set_policy(api, "told", not_after=4_000_000_000, min_version=1)
    set_policy(api, "told", not_after=4_000_000_000)  # changes nothing
    records = [record for record in read_records(server.data_dir) if record.get("key_id") == "told"]
    changes = [record for record in records if record["op"] == "state"]
    assert [record.get("phase", "") for record in changes] == ["intent", "outcome", ""], (
        "the last changed nothing"
    )
    assert changes[0]["detail"] == 'policy={"not_after":4000000000,"min_version":1}'
    lines = (server.data_dir / "bus" / "kms.jsonl").read_text().splitlines()
    events = [event["fields"] for event in map(json.loads, lines) if event["event"] == "PolicyChanged"]
    (event,) = [fields for fields in events if fields["key_id"] == "told"]
    assert event == {
        "tenant": "default",
        "key_id": "told",
        "policy": '{"not_after":4000000000}',
        "corr_id": changes[0]["corr_id"],
    }
    refused = api.post(
        "/v1/kms/keys/told/policy", {"min_version": 1}, authorization=f"Bearer {server.mint(op=['rotate'])}"
    )
    assert refused.status == 403


def test_ronctl_changes_a_policy(server: ServerProcess, api: ApiClient) -> None:
    signing_key(api, "by-hand")
    shown = json.loads(
        server.ronctl(
            "keys", "policy", "by-hand", "--not-after", "4000000000", "--rotation-period", "90d"
        ).stdout
    )
    assert shown["policy"] == {"not_after": 4_000_000_000, "rotation_period_seconds": 90 * 86400}
    shown = json.loads(server.ronctl("keys", "policy", "by-hand", "--not-after", "none").stdout)
    assert shown["policy"] == {"rotation_period_seconds": 90 * 86400}
    described = json.loads(server.ronctl("keys", "describe", "by-hand").stdout)
    assert described["policy"] == shown["policy"]
    wrong = server.ronctl("keys", "policy", "by-hand", "--not-after", "tomorrow", check=False)
    assert wrong.returncode != 0


def test_a_restart_keeps_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    data = tmp_path_factory.mktemp("key-policy-restart") / "data"
    with ServerProcess(data) as running:
        client = ApiClient(running.api_url, running.token)
        sign, _ = signing_key(client, "kept", not_before=5, rotation_period_seconds=86400)
        set_policy(client, "kept", not_after=PAST)
        client.close()
    with ServerProcess(data) as running:
        client = ApiClient(running.api_url, running.token)
        described = client.get("/v1/kms/keys/kept").body
        assert described["policy"] == {
            "not_before": 5,
            "not_after": PAST,
            "rotation_period_seconds": 86400,
        }
        assert client.post("/v1/kms/sign", sign).status == 409
        client.close()
