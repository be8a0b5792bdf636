"""Verdicts: modes of hybrids, the cache's keys, and what may not be served from it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from ronkms.domain.measure import POLICY
from tests.fakes.api import FakeApi, b64

HYBRID = "MLDSA65-Ed25519-SHA512"
ML_DSA_SIZE = 3309


@pytest.fixture
def api(tmp_path: Path) -> FakeApi:
    return FakeApi(tmp_path)


def signed(api: FakeApi, key_id: str, **more: object) -> dict[str, object]:
    body = {"key_id": key_id, "message": b64(b"message"), **more}
    return {**body, "signature": api.post("sign", body).json["signature"]}


def cache_of(api: FakeApi, body: dict[str, object], **more: str) -> str:
    used: str = api.post("verify", body, **more).json["cache"]
    return used


@pytest.mark.parametrize(
    ("mode", "pq_good", "classical_good", "valid"),
    [
        ("and", True, True, True),
        ("and", True, False, False),
        ("and", False, True, False),
        ("or", True, False, True),
        ("or", False, True, True),
        ("or", False, False, False),
        ("pq_only", True, False, True),
        ("pq_only", False, True, False),
    ],
)
def test_modes_of_a_hybrid(
    tmp_path: Path, mode: str, pq_good: bool, classical_good: bool, valid: bool
) -> None:
    api = FakeApi(tmp_path, verify_mode=mode)
    api.create(HYBRID, "h")
    body = signed(api, "h")
    signature = bytearray(base64.b64decode(str(body["signature"])))
    assert len(signature) == ML_DSA_SIZE + 64
    if not pq_good:
        signature[100] ^= 1
    if not classical_good:
        signature[-1] ^= 1
    for used in ("miss", "hit"):
        answer = api.post("verify", {**body, "signature": b64(bytes(signature))}).json
        assert answer == {
            "valid": valid,
            "alg": HYBRID,
            "key_version": 1,
            "mode": mode,
            "components": {"ML-DSA-65": pq_good, "Ed25519": classical_good},
            "conformant": pq_good and classical_good,
            "cache": used,
        }


def test_each_input_of_the_verdict_is_in_the_tag(api: FakeApi) -> None:
    api.create("ML-DSA-44", "k")
    api.create("ML-DSA-44", "k2")
    body = signed(api, "k", context=b64(b"c"))
    assert [cache_of(api, body), cache_of(api, body)] == ["miss", "hit"]
    for change in (
        {"message": b64(b"other")},
        {"context": b64(b"d")},
        {"context": ""},
        {"signature": b64(bytes(2420))},
        {"key_id": "k2"},
    ):
        other = {**body, **change}
        assert cache_of(api, other) == "miss"
        assert api.post("verify", other).json["valid"] is False
    assert cache_of(api, body) == "hit"


def test_ecdsa_formats_do_not_share_verdicts(api: FakeApi) -> None:
    api.create("ES256", "k")
    body = signed(api, "k")
    assert api.post("verify", body).json["valid"] is True
    assert api.post("verify", {**body, "signature_format": "p1363"}).json["valid"] is False
    assert api.post("verify", {**body, "signature_format": "der"}).json["valid"] is True


def test_a_message_is_not_taken_for_its_digest(api: FakeApi) -> None:
    """A 32-byte message that is the digest of a signed one has no valid signature."""
    from hashlib import sha256

    api.create("ES256", "k")
    body = signed(api, "k")
    digest = b64(sha256(b"message").digest())
    assert api.post("verify", body).json["valid"] is True
    assert api.post("verify", {**body, "message": digest}).json["valid"] is False
    assert api.post("verify", {**body, "message": digest, "prehashed": "sha256"}).json["valid"] is True


@pytest.mark.parametrize("change", ["rotate", "state", "policy"])
def test_every_change_makes_older_verdicts_unreachable(api: FakeApi, change: str) -> None:
    api.create("Ed25519", "k")
    body = {**signed(api, "k"), "key_version": 1}
    assert [cache_of(api, body), cache_of(api, body)] == ["miss", "hit"]
    match change:
        case "rotate":
            api.post("rotate", {"key_id": "k"})
        case "state":
            api.post("keys/k/disable")
            assert api.post("verify", body).status_code == 409
            api.post("keys/k/enable")
        case "policy":
            api.arena.bump(POLICY)
    assert [cache_of(api, body), cache_of(api, body)] == ["miss", "hit"]


def test_a_disabled_version_is_not_tried(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    body = signed(api, "k")
    api.post("rotate", {"key_id": "k"})
    assert api.post("verify", body).json["valid"] is True
    api.post("keys/k/disable", {"key_version": 1})
    answer = api.post("verify", body).json
    assert (answer["valid"], answer["key_version"]) == (False, 2)
    refused = api.post("verify", {**body, "key_version": 1})
    assert (refused.status_code, refused.json["code"]) == (409, "key_disabled")


def test_a_key_disabled_during_verification_gives_no_verdict(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    body = signed(api, "k")
    refreshes = []

    def disable_at_the_second() -> None:
        refreshes.append(1)
        if len(refreshes) == 2:
            api.store.on_refresh = None
            api.store.set_state("default", "k", api.store.get("default", "k").state.DISABLED)

    api.store.on_refresh = disable_at_the_second
    assert api.post("verify", body).json["code"] == "key_disabled"
    assert len(refreshes) == 2


def test_the_token_decides_with_key_algorithm_and_digest(api: FakeApi) -> None:
    from hashlib import sha256

    api.create("Ed25519", "k")
    body = signed(api, "k")
    api.capabilities.asked.clear()
    api.post("verify", body)
    api.post("sign", {"key_id": "k", "message": b64(b"message")})
    digest = sha256(b"message").digest()
    assert api.capabilities.asked == [("verify", "k", "Ed25519", digest), ("sign", "k", "Ed25519", digest)]
