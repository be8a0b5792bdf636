"""Algorithms, digests and formats that a key's policy allows: single, in batches, and behind the engine."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.fakes.api import FakeApi, b64

HYBRID = "MLDSA65-Ed25519-SHA512"
DIGEST = b64(hashlib.sha256(b"m").digest())
MESSAGE = b64(b"m")


@pytest.fixture
def api(tmp_path: Path) -> FakeApi:
    return FakeApi(tmp_path)


def policy(api: FakeApi, key_id: str = "k", **change: Any) -> dict[str, Any]:
    result = api.post(f"keys/{key_id}/policy", change)
    assert result.status_code == 200, result.text
    changed: dict[str, Any] = result.json["policy"]
    return changed


def codes(api: FakeApi, path: str, body: dict[str, Any]) -> list[str]:
    """Of the request alone, and as an item of a batch: a problem code, or ok."""
    single = api.post(path, body).json.get("code", "ok")
    item = api.post(path, {"items": [body]}).json["items"][0]
    return [single, item["error"]["code"] if "error" in item else "ok"]


OK = ["ok", "ok"]
BAD = ["bad_request", "bad_request"]
DISABLED = ["key_disabled", "key_disabled"]


def test_digests_can_be_forbidden(api: FakeApi) -> None:
    api.create("ES256", "k")
    prehashed = {"key_id": "k", "message": DIGEST, "prehashed": "sha256"}
    assert codes(api, "sign", prehashed) == OK
    signature = api.post("sign", prehashed).json["signature"]
    assert policy(api, prehashed=False) == {"prehashed": False}
    assert codes(api, "sign", prehashed) == BAD
    assert codes(api, "sign", {"key_id": "k", "message": MESSAGE}) == OK
    verified = api.post("verify", prehashed | {"signature": signature}).json
    assert verified["valid"] is True
    assert policy(api, prehashed=True) == {}
    assert codes(api, "sign", prehashed) == OK


def test_formats_can_be_narrowed(api: FakeApi) -> None:
    api.create("ES256", "k", policy={"signature_formats": ["p1363", "p1363"]})
    plain = {"key_id": "k", "message": MESSAGE}
    raw, der = plain | {"signature_format": "p1363"}, plain | {"signature_format": "der"}
    assert [codes(api, "sign", body) for body in (plain, der, raw)] == [BAD, BAD, OK]
    assert "p1363, not der" in api.post("sign", plain).json["detail"]
    policy(api, signature_formats=["p1363", "der"])
    assert [codes(api, "sign", body) for body in (plain, der, raw)] == [OK, OK, OK]
    policy(api, signature_formats=["der"])
    assert [codes(api, "sign", body) for body in (plain, der, raw)] == [OK, OK, BAD]


def test_the_order_of_a_set_is_no_change(api: FakeApi) -> None:
    api.create("ES256", "k", policy={"signature_formats": ["p1363", "der"], "algs": ["ES384", "ES256"]})
    before = len(api.audit.records)
    policy(api, signature_formats=["der", "p1363"], algs=["ES256", "ES384"])
    assert [record["phase"] for record in api.audit.records[before:]] == [""], "nothing was changed"


def test_a_key_that_moved_to_its_hybrid_shuts_the_classical_version_out(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    sign = {"key_id": "k", "message": MESSAGE}
    old = sign | {"signature": api.post("sign", sign).json["signature"]}
    assert api.post("keys/k/policy", {"algs": [HYBRID]}).json["code"] == "bad_request"
    assert api.post("rotate", {"key_id": "k", "alg": HYBRID}).status_code == 200
    # Without a rollout the classical version goes on signing.
    assert api.post("sign", sign).json["alg"] == "Ed25519"
    assert api.post("verify", old).json["valid"] is True
    policy(api, algs=[HYBRID])
    assert api.post("sign", sign).json["alg"] == HYBRID
    new = sign | {"signature": api.post("sign", sign).json["signature"]}
    assert codes(api, "verify", old | {"key_version": 1}) == DISABLED
    assert api.post("verify", old).json["valid"] is False
    assert api.post("verify", {"items": [old]}).json["items"][0]["result"]["valid"] is False
    assert api.post("verify", new).json["valid"] is True
    assert [key["key_version"] for key in api.get("jwks").json["keys"]] == [2]
    refused = api.post("rotate", {"key_id": "k", "alg": "Ed25519"})
    assert refused.status_code in (400, 409)
    assert api.post("rotate", {"key_id": "k"}).json["alg"] == HYBRID
    # The newest version cannot be shut out: that is what disabling is for.
    api.post("keys/k/disable", {"key_version": 2})
    api.post("keys/k/disable", {"key_version": 3})
    assert codes(api, "sign", sign) == DISABLED


def test_no_version_of_another_algorithm_is_made(api: FakeApi) -> None:
    api.create("Ed25519", "k", policy={"algs": ["Ed25519"]})
    refused = api.post("rotate", {"key_id": "k", "alg": HYBRID})
    assert (refused.status_code, refused.json["code"]) == (409, "conflict")
    assert "does not allow" in refused.json["detail"]
    assert api.post("rotate", {"key_id": "k"}).json["key_version"] == 2
    assert api.get("keys/k").json["policy"] == {"algs": ["Ed25519"]}


def test_the_rollout_makes_no_version_that_the_key_shuts_out(api: FakeApi) -> None:
    api.create("Ed25519", "free")
    api.policy.decision = replace(api.policy.decision, produce_hybrid=True, rollout_percent=100)
    api.create("Ed25519", "k", policy={"algs": ["Ed25519"]})
    assert api.service.prepare_hybrids(10) == 1
    assert api.get("keys/free").json["version_count"] == 2
    assert api.get("keys/k").json["version_count"] == 1
    assert api.post("sign", {"key_id": "k", "message": MESSAGE}).json["alg"] == "Ed25519"


@pytest.mark.parametrize(
    ("alg", "change"),
    [
        ("Ed25519", {"algs": []}),
        ("Ed25519", {"algs": ["ES256"]}),
        ("Ed25519", {"algs": ["Ed25519", "Ed448"]}),
        ("Ed25519", {"algs": ["Ed25519", "AES-KWP"]}),
        ("Ed25519", {"signature_formats": ["der"]}),
        ("ES256", {"signature_formats": []}),
        ("ES256", {"signature_formats": ["raw"]}),
        ("ES256", {"prehashed": None}),
    ],
)
def test_what_no_key_can_have(api: FakeApi, alg: str, change: dict[str, Any]) -> None:
    api.create(alg, "k")
    assert api.post("keys/k/policy", change).json["code"] == "bad_request"
    created = api.post("keys", {"alg": alg, "usage": "sign", "key_id": "n", "policy": change})
    assert created.json["code"] == "bad_request"
