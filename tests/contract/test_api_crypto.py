"""sign, verify, wrap, unwrap and datakey over HTTP, each answer as DESIGN has it."""

from __future__ import annotations

import base64
from hashlib import sha256, sha384, shake_256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa, utils

from ronkms.domain.operation import Outcome
from tests.fakes.api import FakeApi, b64

MESSAGE = b"pay 100 to bob"


@pytest.fixture
def api(tmp_path: Path) -> FakeApi:
    return FakeApi(tmp_path)


def public_of(api: FakeApi, key_id: str) -> object:
    pem = api.get(f"keys/{key_id}/public", headers={"Accept": "application/x-pem-file"})
    assert pem.headers["content-type"] == "application/x-pem-file"
    return serialization.load_pem_public_key(pem.content)


def signature_of(api: FakeApi, key_id: str, **more: object) -> bytes:
    result = api.post("sign", {"key_id": key_id, "message": b64(MESSAGE), **more})
    assert result.status_code == 200, result.text
    assert result.json.keys() == {"signature", "alg", "key_id", "key_version"}
    return base64.b64decode(result.json["signature"], validate=True)


def test_ed25519_signature_is_verified_by_another_library(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    signature = signature_of(api, "k")
    public = public_of(api, "k")
    assert isinstance(public, ed25519.Ed25519PublicKey)
    public.verify(signature, MESSAGE)


@pytest.mark.parametrize(
    ("alg", "digest", "prehashed"),
    [("ES256", hashes.SHA256(), sha256), ("ES384", hashes.SHA384(), sha384)],
)
def test_ecdsa_der_p1363_and_prehashed(api: FakeApi, alg: str, digest: object, prehashed: object) -> None:
    api.create(alg, "k")
    public = public_of(api, "k")
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature_of(api, "k"), MESSAGE, ec.ECDSA(digest))  # type: ignore[arg-type]
    plain = signature_of(api, "k", signature_format="p1363")
    size = public.key_size // 8
    assert len(plain) == 2 * size
    der = utils.encode_dss_signature(int.from_bytes(plain[:size], "big"), int.from_bytes(plain[size:], "big"))
    public.verify(der, MESSAGE, ec.ECDSA(digest))  # type: ignore[arg-type]
    hashed = prehashed(MESSAGE)  # type: ignore[operator]
    body = {"key_id": "k", "message": b64(hashed.digest()), "prehashed": hashed.name}
    signature = api.post("sign", body).json["signature"]
    for verified in (body, {"key_id": "k", "message": b64(MESSAGE)}):
        answer = api.post("verify", {**verified, "signature": signature}).json
        assert answer["valid"] is True
    answer = api.post("verify", {"key_id": "k", "message": b64(MESSAGE), "signature": b64(plain)}).json
    assert answer["valid"] is False, "r||s is no DER"


def test_rsa_pss(api: FakeApi) -> None:
    api.create("PS256", "k")
    public = public_of(api, "k")
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(
        signature_of(api, "k"), MESSAGE, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()
    )


def test_ml_dsa_with_context(api: FakeApi) -> None:
    api.create("ML-DSA-65", "k")
    public = public_of(api, "k")
    assert isinstance(public, mldsa.MLDSA65PublicKey)
    signature = signature_of(api, "k", context=b64(b"orders"))
    public.verify(signature, MESSAGE, b"orders")
    body = {"key_id": "k", "message": b64(MESSAGE), "signature": b64(signature)}
    assert api.post("verify", {**body, "context": b64(b"orders")}).json["valid"] is True
    assert api.post("verify", body).json["valid"] is False


def test_mu_needs_the_key_policy(api: FakeApi) -> None:
    api.create("ML-DSA-44", "plain")
    refused = api.post("sign", {"key_id": "plain", "mu": b64(bytes(64))})
    assert (refused.status_code, refused.json["code"]) == (400, "bad_request")
    assert "policy" in refused.json["detail"]


@pytest.mark.parametrize("context", [b"", b"orders"])
def test_an_external_mu_signs_the_message(api: FakeApi, context: bytes) -> None:
    api.create("ML-DSA-65", "k", policy={"mu": True})
    public = public_of(api, "k")
    assert isinstance(public, mldsa.MLDSA65PublicKey)
    tr = shake_256(public.public_bytes_raw()).digest(64)
    mu = shake_256(tr + bytes([0, len(context)]) + context + MESSAGE).digest(64)
    signature = api.post("sign", {"key_id": "k", "mu": b64(mu)}).json["signature"]
    public.verify(base64.b64decode(signature), MESSAGE, context)
    assert api.post("verify", {"key_id": "k", "mu": b64(mu), "signature": signature}).json["valid"] is True
    both = api.post("sign", {"key_id": "k", "mu": b64(mu), "message": ""})
    assert both.status_code == 400


@pytest.mark.parametrize("size", [0, 63, 65])
def test_mu_is_64_bytes(api: FakeApi, size: int) -> None:
    api.create("ML-DSA-65", "k", policy={"mu": True})
    assert api.post("sign", {"key_id": "k", "mu": b64(bytes(size))}).status_code == 400


def test_verify_answers_all_fields_and_uses_the_cache(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    body = {"key_id": "k", "message": b64(MESSAGE), "signature": b64(signature_of(api, "k"))}
    first = api.post("verify", body).json
    assert first == {
        "valid": True,
        "alg": "Ed25519",
        "key_version": 1,
        "mode": "and",
        "components": {"Ed25519": True},
        "conformant": True,
        "cache": "miss",
    }
    assert api.post("verify", body).json == {**first, "cache": "hit"}


@pytest.mark.parametrize("signature", [b"", b"\0", bytes(63), bytes(64), bytes(65), bytes(5000)])
def test_a_wrong_signature_is_an_answer(api: FakeApi, signature: bytes) -> None:
    api.create("Ed25519", "k")
    result = api.post("verify", {"key_id": "k", "message": "", "signature": b64(signature)})
    assert result.status_code == 200
    assert (result.json["valid"], result.json["conformant"]) == (False, False)
    assert result.json["components"] == {"Ed25519": False}
    assert api.audit.records[-1]["outcome"] is Outcome.INVALID


def test_older_versions_verify_and_the_newest_signs(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    old = b64(signature_of(api, "k"))
    for path in ("keys/rotate", "rotate"):
        assert api.post(path, {"key_id": "k"}).status_code == 200
    assert api.post("sign", {"key_id": "k", "message": ""}).json["key_version"] == 3
    body = {"key_id": "k", "message": b64(MESSAGE), "signature": old}
    assert api.post("verify", body).json["key_version"] == 1
    assert api.post("verify", {**body, "key_version": 1}).json["valid"] is True
    assert api.post("verify", {**body, "key_version": 2}).json["valid"] is False
    assert api.post("verify", {**body, "key_version": 4}).status_code == 404


def test_many_versions_are_all_tried(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    old = b64(signature_of(api, "k"))
    for _ in range(150):
        api.post("rotate", {"key_id": "k"})
    body = {"key_id": "k", "message": b64(MESSAGE), "signature": old}
    assert api.post("verify", body).json["key_version"] == 1
    wrong = api.post("verify", {**body, "message": ""}).json
    assert (wrong["valid"], wrong["key_version"]) == (False, 151)
    assert api.arena.snapshot().inflight["verify"][0] == 0


def test_inline_public_key(api: FakeApi) -> None:
    api.create("ES256", "k")
    signature = b64(signature_of(api, "k"))
    jwk = api.get("keys/k/public").json
    body = {"public_key": jwk, "message": b64(MESSAGE), "signature": signature}
    answer = api.post("verify", body).json
    assert (answer["valid"], answer["alg"], answer["key_version"]) == (True, "ES256", None)
    assert api.post("verify", body).json["cache"] == "hit"
    other_tenant = api.post("verify", body, token="other;verify;*").json
    assert other_tenant["cache"] == "miss", "no oracle across tenants"


def test_inline_key_needs_a_right_on_all_keys(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    body = {"public_key": api.get("keys/k/public").json, "message": "", "signature": ""}
    assert api.post("verify", body, token="default;verify;k").status_code == 403


def test_inline_private_member_is_refused(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    jwk = {**api.get("keys/k/public").json, "d": "AAAA"}
    result = api.post("verify", {"public_key": jwk, "message": "", "signature": ""})
    assert (result.status_code, result.json["code"]) == (400, "bad_request")


@pytest.mark.parametrize("alg", ["AES-256-GCM", "AES-KWP", "X-Wing"])
def test_wrap_and_unwrap(api: FakeApi, alg: str) -> None:
    api.create(alg, "w")
    wrapped = api.post("wrap", {"key_id": "w", "plaintext": b64(MESSAGE)}).json
    assert (wrapped["alg"], wrapped["key_version"]) == (alg, 1)
    api.post("rotate", {"key_id": "w"})
    opened = api.post("unwrap", {"key_id": "w", "ciphertext": wrapped["ciphertext"]}).json
    assert (opened["plaintext"], opened["key_version"]) == (b64(MESSAGE), 1)


def test_unwrap_has_one_message_for_all_that_does_not_open(api: FakeApi) -> None:
    api.create("AES-256-GCM", "w")
    api.create("AES-256-GCM", "other")
    wrapped = api.post("wrap", {"key_id": "w", "plaintext": b64(MESSAGE), "aad": b64(b"a")}).json[
        "ciphertext"
    ]
    good = base64.b64decode(wrapped)
    bad: list[tuple[str, bytes, bytes]] = [("other", good, b"a"), ("w", good, b""), ("w", good, b"b")]
    bad += [("w", good[:cut], b"a") for cut in (0, 3, 8, 9, 10, len(good) - 1)]
    bad += [("w", good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :], b"a") for at in range(len(good))]
    problems = set()
    for key_id, envelope, aad in bad:
        result = api.post("unwrap", {"key_id": key_id, "ciphertext": b64(envelope), "aad": b64(aad)})
        problems.add((result.status_code, result.json["code"], result.json["detail"]))
    assert len(problems) == 1
    assert problems.pop()[:2] == (400, "bad_request")
    assert api.post("unwrap", {"key_id": "w", "ciphertext": wrapped, "aad": b64(b"a")}).status_code == 200


def test_kwp_takes_no_aad(api: FakeApi) -> None:
    api.create("AES-KWP", "w")
    assert api.post("wrap", {"key_id": "w", "plaintext": "AAAA", "aad": "AAAA"}).status_code == 400
    wrapped = api.post("wrap", {"key_id": "w", "plaintext": "AAAA"}).json["ciphertext"]
    assert api.post("unwrap", {"key_id": "w", "ciphertext": wrapped, "aad": "AAAA"}).status_code == 400


@pytest.mark.parametrize("size", [16, 32, 64])
def test_data_key(api: FakeApi, size: int) -> None:
    api.create("AES-256-GCM", "w")
    made = api.post("datakey", {"key_id": "w", "bytes": size, "aad": b64(b"row 7")}).json
    assert len(base64.b64decode(made["plaintext"])) == size
    opened = api.post("unwrap", {"key_id": "w", "ciphertext": made["ciphertext"], "aad": b64(b"row 7")})
    assert opened.json["plaintext"] == made["plaintext"]
    assert "plaintext" not in api.post("datakey", {"key_id": "w", "plaintext": False}).json


def test_usage_is_kept_apart(api: FakeApi) -> None:
    api.create("AES-256-GCM", "w")
    api.create("Ed25519", "s")
    assert api.post("sign", {"key_id": "w", "message": ""}).status_code == 400
    assert api.post("verify", {"key_id": "w", "message": "", "signature": ""}).status_code == 400
    assert api.post("wrap", {"key_id": "s", "plaintext": "AAAA"}).status_code == 400


def test_sizes(api: FakeApi) -> None:
    api.create("Ed25519", "s")
    api.create("AES-256-GCM", "w")
    mib = 1024 * 1024
    assert api.post("sign", {"key_id": "s", "message": ""}).status_code == 200
    assert api.post("sign", {"key_id": "s", "message": b64(bytes(mib))}).status_code == 200
    assert api.post("sign", {"key_id": "s", "message": b64(bytes(mib + 1))}).status_code == 413
    assert api.post("wrap", {"key_id": "w", "plaintext": b64(bytes(65536))}).status_code == 200
    assert api.post("wrap", {"key_id": "w", "plaintext": b64(bytes(65537))}).status_code == 413
    assert api.post("wrap", {"key_id": "w", "plaintext": ""}).status_code == 400


def test_sign_batch_keeps_order_and_isolates_bad_items(api: FakeApi) -> None:
    api.create("Ed25519", "a")
    api.create("ES256", "b")
    items = [
        {"key_id": "a", "message": b64(b"1")},
        {"key_id": "missing", "message": ""},
        {"key_id": "a", "message": "not base64"},
        {"key_id": "b", "message": b64(b"2"), "signature_format": "p1363"},
        "no object",
        {"key_id": "a", "message": b64(b"3")},
        {"key_id": "b", "message": b64(b"4")},
        {"key_id": "a", "message": b64(b"5"), "context": "AAAA"},
    ]
    records = len(api.audit.records)
    answers = api.post("sign", {"items": items}).json["items"]
    assert [answer["status"] for answer in answers] == [200, 404, 400, 200, 400, 200, 200, 400]
    assert [answer["error"]["code"] for answer in answers if "error" in answer] == [
        "not_found",
        "bad_request",
        "bad_request",
        "bad_request",
    ]
    assert len(api.audit.records) == records + 1
    assert api.audit.records[-1]["items"] == len(items)
    checks = [
        {**item, "signature": answer["result"]["signature"]}
        for item, answer in zip(items, answers, strict=True)
        if isinstance(item, dict) and answer["status"] == 200
    ]
    checks.append({**checks[0], "message": b64(b"other")})
    verified = api.post("verify", {"items": checks}).json["items"]
    assert [each["result"]["valid"] for each in verified] == [True, True, True, True, False]
    assert api.arena.snapshot().inflight == {"sign": (0, 512), "verify": (0, 1024)}


def test_batch_items_are_authorized_one_by_one(api: FakeApi) -> None:
    api.create("Ed25519", "mine")
    api.create("Ed25519", "yours")
    items = [{"key_id": "mine", "message": ""}, {"key_id": "yours", "message": ""}]
    answers = api.post("sign", {"items": items}, token="default;sign;mine").json["items"]
    assert [answer["status"] for answer in answers] == [200, 403]
    assert "denied=1" in api.audit.records[-1]["detail"]


def test_batch_limits(api: FakeApi) -> None:
    api.create("Ed25519", "a")
    item = {"key_id": "a", "message": ""}
    assert api.post("sign", {"items": []}).status_code == 400
    full = api.post("sign", {"items": [item] * 1000})
    assert full.status_code == 200
    assert {answer["status"] for answer in full.json["items"]} == {200}
    assert api.post("sign", {"items": [item] * 1001}).status_code == 413
    assert api.post("sign", {"items": [item], "key_id": "a"}).status_code == 400


def test_batch_verify_mixes_versions_and_inline_keys(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    old = b64(signature_of(api, "k"))
    jwk = api.get("keys/k/public").json
    api.post("rotate", {"key_id": "k"})
    items = [
        {"key_id": "k", "message": b64(MESSAGE), "signature": old},
        {"public_key": jwk, "message": b64(MESSAGE), "signature": old},
        {"public_key": {**jwk, "x": "AAAA"}, "message": b64(MESSAGE), "signature": old},
        {"key_id": "k", "key_version": 2, "message": b64(MESSAGE), "signature": old},
    ]
    answers = api.post("verify", {"items": items}).json["items"]
    assert [answer["status"] for answer in answers] == [200, 200, 400, 200]
    assert [answer["result"]["valid"] for answer in answers if "result" in answer] == [True, True, False]
    assert answers[0]["result"]["key_version"] == 1


def test_a_receipt_is_of_the_requests_own_record(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    result = api.post("sign", {"key_id": "k", "message": b64(MESSAGE), "receipt": True})
    assert result.status_code == 200, result.text
    receipt = result.json["receipt"]
    assert (receipt["kind"], receipt["index"], len(api.audit.records)) == ("inclusion", 3, 3)
    assert "receipt" not in api.post("sign", {"key_id": "k", "message": b64(MESSAGE), "receipt": False}).json


def test_without_a_checkpoint_there_is_no_answer_but_a_record(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    api.receipts.closed = True
    result = api.post("sign", {"key_id": "k", "message": b64(MESSAGE), "receipt": True})
    assert (result.status_code, result.json["code"]) == (503, "audit_unavailable")
    assert [record["op"] for record in api.audit.records][-1] == "sign"
    assert api.arena.snapshot().inflight["sign"][0] == 0


def test_an_item_of_a_batch_has_no_receipt(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    items = [{"key_id": "k", "message": b64(MESSAGE)}, {"key_id": "k", "message": "", "receipt": True}]
    answers = api.post("sign", {"items": items}).json["items"]
    assert [answer["status"] for answer in answers] == [200, 400]
