"""Bad requests that are well-formed JSON but no sound cryptography: keys, contexts, digests, envelopes."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.e2e.support.bad_request_case import MESSAGE, Case, bad, inline, refused, signing, verifying
from tests.e2e.support.bad_request_stage import Stage, b64

SIGN = "/v1/kms/sign"
VERIFY = "/v1/kms/verify"
WRAP = "/v1/kms/wrap"
UNWRAP = "/v1/kms/unwrap"

P256_X = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296).to_bytes(32, "big")
P256_Y = (0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5).to_bytes(32, "big")
ED25519_P = 2**255 - 19


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _okp(x: bytes, **members: object) -> dict[str, object]:
    return {"kty": "OKP", "crv": "Ed25519", "x": b64url(x), **members}


def _ec(x: bytes = P256_X, y: bytes = P256_Y, **members: object) -> dict[str, object]:
    return {"kty": "EC", "crv": "P-256", "x": b64url(x), "y": b64url(y), **members}


def _rsa(modulus: int, exponent: int = 65537) -> dict[str, object]:
    numbers = (modulus, exponent)
    n, e = (b64url(number.to_bytes((number.bit_length() + 7) // 8, "big")) for number in numbers)
    return {"kty": "RSA", "n": n, "e": e}


def _rsa_modulus(bits: int) -> int:
    return rsa.generate_private_key(65537, bits).public_key().public_numbers().n


def _rsa_of(name: str, bits: int) -> Case:
    """The key is made when the case runs: small ones are quick, large ones need not be of two primes."""

    def raw(stage: Stage) -> bytes:
        modulus = _rsa_modulus(bits) if bits <= 2048 else 2**bits - 2**64 + 13
        return stage.ask(VERIFY, inline(_rsa(modulus)))

    return Case(name, 400, "bad_request", raw)


def _point(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
GOOD_X = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
"""RFC 8032 section 7.1, test 1."""

JWKS = [
    bad("JWK without kty", VERIFY, inline({"crv": "Ed25519", "x": b64url(GOOD_X)})),
    bad("JWK of a secret key", VERIFY, inline({"kty": "oct", "k": b64url(bytes(32))})),
    bad("JWK with d", VERIFY, inline(_okp(GOOD_X, d=b64url(bytes(32))))),
    bad("JWK of EC with d", VERIFY, inline(_ec(d=b64url(bytes(32))))),
    bad(
        "JWK of AKP with priv",
        VERIFY,
        inline({"kty": "AKP", "alg": "ML-DSA-65", "pub": "", "priv": b64url(bytes(32))}),
    ),
    bad("JWK of Ed448", VERIFY, inline({"kty": "OKP", "crv": "Ed448", "x": b64url(bytes(57))})),
    bad("JWK of X25519", VERIFY, inline({"kty": "OKP", "crv": "X25519", "x": b64url(GOOD_X)})),
    bad("JWK of secp256k1", VERIFY, inline(_ec(crv="secp256k1"))),
    bad("JWK with another alg", VERIFY, inline(_okp(GOOD_X, alg="ES256"))),
    bad("JWK for encryption", VERIFY, inline(_okp(GOOD_X, use="enc"))),
    bad("JWK with padding", VERIFY, inline({"kty": "OKP", "crv": "Ed25519", "x": b64url(GOOD_X) + "="})),
    bad(
        "JWK in the standard alphabet", VERIFY, inline({"kty": "OKP", "crv": "Ed25519", "x": "+/" * 21 + "A"})
    ),
    bad("JWK of 31 bytes", VERIFY, inline(_okp(GOOD_X[:31]))),
    bad("JWK of 33 bytes", VERIFY, inline(_okp(GOOD_X + b"\0"))),
    bad("JWK of 64 KiB", VERIFY, inline(_okp(GOOD_X, note="x" * 65536))),
    bad("JWK of X-Wing", VERIFY, inline({"kty": "AKP", "alg": "X-Wing", "pub": b64url(bytes(1216))})),
    bad("Ed25519 identity", VERIFY, inline(_okp(_point(1)))),
    bad("Ed25519 of order 2", VERIFY, inline(_okp(_point(ED25519_P - 1)))),
    bad("Ed25519 of order 4", VERIFY, inline(_okp(_point(0)))),
    bad("Ed25519 of order 8", VERIFY, inline(_okp(ORDER_8))),
    bad("Ed25519 not canonical", VERIFY, inline(_okp(_point(ED25519_P + 3)))),
    bad("Ed25519 not on the curve", VERIFY, inline(_okp(_point(2)))),
    bad("Ed25519 of all ones", VERIFY, inline(_okp(b"\xff" * 32))),
    bad("P-256 off the curve", VERIFY, inline(_ec(y=P256_Y[:-1] + b"\x00"))),
    bad("P-256 at infinity", VERIFY, inline(_ec(bytes(32), bytes(32)))),
    bad("P-256 coordinate over p", VERIFY, inline(_ec(x=b"\xff" * 32))),
    bad("P-256 short coordinate", VERIFY, inline(_ec(x=P256_X[1:]))),
    _rsa_of("RSA of 1024 bits", 1024),
    _rsa_of("RSA of 8192 bits", 8192),
    _rsa_of("RSA of 4097 bits", 4097),
    bad("RSA, exponent 1", VERIFY, inline(_rsa(2**2048 - 1942289, 1))),
    bad("RSA, even exponent", VERIFY, inline(_rsa(2**2048 - 1942289, 65536))),
    bad("RSA, even modulus", VERIFY, inline(_rsa(2**2048 - 2))),
    bad("RSA with p", VERIFY, inline({**_rsa(2**2048 - 1942289), "p": b64url(bytes(128))})),
    bad(
        "ML-DSA key too short", VERIFY, inline({"kty": "AKP", "alg": "ML-DSA-65", "pub": b64url(bytes(1312))})
    ),
    bad("key_version beside an inline key", VERIFY, inline(_okp(GOOD_X), key_version=1)),
]

INPUTS = [
    bad("context of 256 bytes", SIGN, signing(key_id="ml", context=b64(bytes(256)))),
    bad("context on Ed25519", SIGN, signing(context=b64(b"app"))),
    bad("context on Ed25519, verify", VERIFY, verifying(context=b64(b"app"))),
    bad("context on ES256", SIGN, signing(key_id="ec", context=b64(b"app"))),
    bad("context of the composite too long", SIGN, signing(key_id="hybrid", context=b64(bytes(256)))),
    bad("prehashed on Ed25519", SIGN, signing(message=b64(bytes(32)), prehashed="sha256")),
    bad("prehashed on ML-DSA", SIGN, signing(key_id="ml", message=b64(bytes(32)), prehashed="sha256")),
    bad("digest of 31 bytes", SIGN, signing(key_id="ec", message=b64(bytes(31)), prehashed="sha256")),
    bad("digest of 33 bytes", SIGN, signing(key_id="rsa", message=b64(bytes(33)), prehashed="sha256")),
    bad("sha384 on ES256", SIGN, signing(key_id="ec", message=b64(bytes(48)), prehashed="sha384")),
    bad("sha256 on ES384", SIGN, signing(key_id="ec384", message=b64(bytes(32)), prehashed="sha256")),
    bad("mu on Ed25519", SIGN, {"key_id": "ed", "mu": b64(bytes(64))}),
    bad("mu that the key does not allow", SIGN, {"key_id": "ml", "mu": b64(bytes(64))}),
    bad("mu of 63 bytes", SIGN, {"key_id": "ml", "mu": b64(bytes(63))}),
    bad("mu beside message", SIGN, signing(key_id="ml", mu=b64(bytes(64)))),
    bad("mu on the composite", SIGN, {"key_id": "hybrid", "mu": b64(bytes(64))}),
    bad("p1363 on Ed25519", SIGN, signing(signature_format="p1363")),
    bad("p1363 on RSA", SIGN, signing(key_id="rsa", signature_format="p1363")),
    bad("sign with a wrapping key", SIGN, signing(key_id="gcm")),
    bad("verify with a wrapping key", VERIFY, verifying(key_id="kwp")),
    bad("wrap with a signing key", WRAP, {"key_id": "ed", "plaintext": MESSAGE}),
    bad("unwrap with a signing key", UNWRAP, {"key_id": "ed", "ciphertext": MESSAGE}),
    bad("datakey of a signing key", "/v1/kms/datakey", {"key_id": "ed", "bytes": 32}),
    bad("AES-KWP with aad", WRAP, {"key_id": "kwp", "plaintext": MESSAGE, "aad": b64(b"x")}),
    bad("wrap of nothing", WRAP, {"key_id": "gcm", "plaintext": ""}),
    bad("public part of a secret key", "/v1/kms/keys/gcm/public", b"", method="GET"),
    refused(
        "aad of 64 KiB and a byte",
        413,
        "too_large",
        WRAP,
        {"key_id": "gcm", "plaintext": MESSAGE, "aad": b64(bytes(65537))},
    ),
]


def _tampered(name: str, wrapped: str, position: int, key_id: str | None = None, **members: object) -> Case:
    """One bit of the envelope at ``position`` is another."""

    def raw(stage: Stage) -> bytes:
        envelope = bytearray(stage.wrapped[wrapped])
        envelope[position] ^= 1
        return stage.ask(UNWRAP, {"key_id": key_id or wrapped, "ciphertext": b64(bytes(envelope)), **members})

    return Case(f"envelope, {wrapped}: {name}", 400, "bad_request", raw)


def _altered(name: str, wrapped: str, alter: slice, key_id: str, **members: object) -> Case:
    """The envelope cut, or whole with another key or ``aad``."""

    def raw(stage: Stage) -> bytes:
        return stage.ask(
            UNWRAP, {"key_id": key_id, "ciphertext": b64(stage.wrapped[wrapped][alter]), **members}
        )

    return Case(f"envelope, {wrapped}: {name}", 400, "bad_request", raw)


WHOLE = slice(None)
ENVELOPES = [
    _tampered("magic", "gcm", 0),
    _tampered("format version", "gcm", 3),
    _tampered("algorithm", "gcm", 4),
    _tampered("key version", "gcm", 8),
    _tampered("key version's first byte", "gcm", 5),
    _tampered("salt", "gcm", 9),
    _tampered("nonce", "gcm", 9 + 32),
    _tampered("ciphertext", "gcm", 9 + 32 + 12),
    _tampered("tag", "gcm", -1),
    _tampered("aad bound, tag", "gcm+aad", -16, "gcm", aad=b64(b"invoice 7")),
    _altered("aad missing", "gcm+aad", WHOLE, "gcm"),
    _altered("aad changed", "gcm+aad", WHOLE, "gcm", aad=b64(b"invoice 8")),
    _altered("aad where none was", "gcm", WHOLE, "gcm", aad=b64(b"x")),
    _altered("key of another algorithm", "gcm", WHOLE, "kwp"),
    _altered("header alone", "gcm", slice(9), "gcm"),
    _altered("half a header", "gcm", slice(5), "gcm"),
    _altered("empty", "gcm", slice(0), "gcm"),
    _altered("last byte missing", "gcm", slice(-1), "gcm"),
    _tampered("first block", "kwp", 9),
    _tampered("last block", "kwp", -1),
    _altered("not in blocks of 8", "kwp", slice(-3), "kwp"),
    _altered("with aad", "kwp", WHOLE, "kwp", aad=b64(b"x")),
    _tampered("encapsulation, ML-KEM", "xwing", 9),
    _tampered("encapsulation, X25519", "xwing", 9 + 1088),
    _tampered("ciphertext", "xwing", 9 + 1120),
    _tampered("tag", "xwing", -1),
    _altered("encapsulation cut", "xwing", slice(9 + 1119), "xwing"),
    refused(
        "envelope over 64 KiB", 413, "too_large", UNWRAP, {"key_id": "gcm", "ciphertext": b64(bytes(70_000))}
    ),
]

CASES = [*JWKS, *INPUTS, *ENVELOPES]
