"""The native hot path answers what the general path answers, and stops at once when something changes.

One worker, so that the second call of a kind is served by the engine that the first one taught.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.support.composite_reference import COMPOSITES
from tests.server_process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("hot") / "data", env={"KMS_WORKERS": "1"}) as started:
        yield started


@pytest.fixture
def api(server: ServerProcess) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.api_url, headers=headers, timeout=30) as client:
        yield client


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def make(api: httpx.Client, key_id: str, alg: str = "Ed25519") -> None:
    body = {"key_id": key_id, "alg": alg, "usage": "sign"}
    assert api.post("/v1/kms/keys", json=body).status_code == 201


def sign(api: httpx.Client, key_id: str, message: bytes, **more: str) -> dict[str, object]:
    answer = api.post("/v1/kms/sign", json={"key_id": key_id, "message": b64(message), **more})
    assert answer.status_code == 200, answer.text
    body: dict[str, object] = answer.json()
    return body


def records(server: ServerProcess) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    for segment in sorted(Path(server.data_dir, "audit").glob("audit-*.jsonl")):
        lines += [json.loads(line) for line in segment.read_text().splitlines()]
    return lines


def counter(server: ServerProcess, line: str) -> float:
    text = httpx.get(f"{server.admin_url}/metrics").text
    return sum(float(row.rpartition(" ")[2]) for row in text.splitlines() if row.startswith(line))


@pytest.mark.parametrize("alg", ["Ed25519", "ES256", "ML-DSA-65", *COMPOSITES])
def test_hot_answers_and_records_are_those_of_the_general_path(
    server: ServerProcess, api: httpx.Client, alg: str
) -> None:
    key_id = f"same-{alg.lower()}"
    make(api, key_id, alg)
    context = {"context": b64(b"c")} if alg.startswith("ML") else {}
    before = len(records(server))
    messages = [b"message %d" % number for number in range(4)]
    signed = [sign(api, key_id, message, **context) for message in messages]
    for message, each in zip(messages, signed, strict=True):
        assert {**each, "signature": ""} == {**signed[0], "signature": ""}
        request = {"key_id": key_id, "message": b64(message), "signature": each["signature"], **context}
        answers = [api.post("/v1/kms/verify", json=request) for _ in range(4)]
        assert [answer.json()["cache"] for answer in answers] == ["miss", "hit", "hit", "hit"]
        for answer in answers:
            assert answer.status_code == 200
            assert answer.json() == {**answers[0].json(), "cache": answer.json()["cache"]}
            assert answer.json()["valid"] is True
            assert answer.headers.keys() == answers[0].headers.keys()
    made = records(server)[before:]
    assert len(made) == 4 + 16
    shapes = {
        json.dumps({**row, "seq": 0, "prev": "", "time": "", "corr_id": "", "digest": ""}) for row in made
    }
    assert len(shapes) == 2, shapes


def test_a_wrong_signature_stays_wrong(api: httpx.Client) -> None:
    make(api, "wrong")
    signature = base64.b64decode(str(sign(api, "wrong", b"m")["signature"]))
    request = {
        "key_id": "wrong",
        "message": b64(b"m"),
        "signature": b64(bytes([signature[0] ^ 1]) + signature[1:]),
    }
    answers = [api.post("/v1/kms/verify", json=request).json() for _ in range(4)]
    assert [answer["valid"] for answer in answers] == [False] * 4
    assert [answer["cache"] for answer in answers] == ["miss", "hit", "hit", "hit"]
    assert api.post("/v1/kms/verify", json={**request, "message": b64(b"n")}).json()["cache"] == "miss"


def test_an_older_version_is_found_behind_the_newest(api: httpx.Client) -> None:
    make(api, "old")
    old = sign(api, "old", b"m")
    assert api.post("/v1/kms/keys/rotate", json={"key_id": "old"}).status_code == 200
    request = {"key_id": "old", "message": b64(b"m"), "signature": old["signature"]}
    for _ in range(4):
        answer = api.post("/v1/kms/verify", json=request).json()
        assert (answer["valid"], answer["key_version"]) == (True, 1)
    for _ in range(3):
        assert sign(api, "old", b"m")["key_version"] == 2
    named = [api.post("/v1/kms/verify", json={**request, "key_version": 2}).json() for _ in range(3)]
    assert [answer["valid"] for answer in named] == [False] * 3


def test_a_disabled_key_stops_at_once(api: httpx.Client) -> None:
    make(api, "stop")
    for _ in range(3):
        signed = sign(api, "stop", b"m")
    request = {"key_id": "stop", "message": b64(b"m"), "signature": signed["signature"]}
    for _ in range(3):
        assert api.post("/v1/kms/verify", json=request).status_code == 200
    assert api.post("/v1/kms/keys/stop/disable").status_code == 200
    assert api.post("/v1/kms/sign", json={"key_id": "stop", "message": b64(b"m")}).status_code == 409
    assert api.post("/v1/kms/verify", json=request).status_code == 409
    assert api.post("/v1/kms/keys/stop/enable").status_code == 200
    assert api.post("/v1/kms/verify", json=request).json()["valid"] is True


def test_a_revoked_token_stops_at_once(server: ServerProcess, api: httpx.Client) -> None:
    make(api, "revoked")
    token = server.mint(op=["sign"], key="revoked")
    headers = {"Authorization": f"Bearer {token}"}
    body = {"key_id": "revoked", "message": b64(b"m")}
    for _ in range(3):
        assert api.post("/v1/kms/sign", json=body, headers=headers).status_code == 200
    server.ronctl("cap", "revoke", token)
    assert api.post("/v1/kms/sign", json=body, headers=headers).status_code == 401


def test_an_attenuated_token_is_held_to_its_checks(server: ServerProcess, api: httpx.Client) -> None:
    make(api, "narrow-1")
    make(api, "narrow-2")
    token = server.mint(op=["sign"], key="narrow-*")
    for key_id in ("narrow-1", "narrow-2", "stop-not-there"):
        for _ in range(3):
            answer = api.post(
                "/v1/kms/sign",
                json={"key_id": key_id, "message": b64(b"m")},
                headers={"Authorization": f"Bearer {token}"},
            )
            assert answer.status_code == (200 if key_id.startswith("narrow") else 403)


def test_hot_requests_are_counted(server: ServerProcess, api: httpx.Client) -> None:
    make(api, "counted")
    lines = (
        'kms_ops_total{tenant="default",op="sign",outcome="ok"}',
        'http_requests_total{code="200",service="ron-kms"}',
        'kms_latency_seconds_count{op="sign",alg="Ed25519"}',
    )
    before = [counter(server, line) for line in lines]
    for _ in range(20):
        sign(api, "counted", b"m")
    assert [counter(server, line) for line in lines] == [value + 20 for value in before]
    assert counter(server, 'kms_inflight{op="sign"}') == 0
    server.ronctl("audit", "verify")
