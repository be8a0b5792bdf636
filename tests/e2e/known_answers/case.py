"""One case of a verification vector as the HTTP API takes it, and the JWK forms of public keys.

The JWKs are built here and not with ``ronkms.domain.jwk``, so that the two check each other.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature


def b64(data: bytes) -> str:
    """Standard base64 with padding, as every bytes field of the API."""
    return base64.b64encode(data).decode()


def b64url(data: bytes) -> str:
    """base64url without padding, as JWK members."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def okp(public: bytes) -> dict[str, object]:
    """Ed25519."""
    return {"kty": "OKP", "crv": "Ed25519", "x": b64url(public)}


def akp(alg: str, public: bytes) -> dict[str, object]:
    """ML-DSA and the composites."""
    return {"kty": "AKP", "alg": alg, "pub": b64url(public)}


def ec(curve: str, x: int, y: int) -> dict[str, object]:
    """P-256 or P-384."""
    size = {"P-256": 32, "P-384": 48}[curve]
    return {
        "kty": "EC",
        "crv": curve,
        "x": b64url(x.to_bytes(size, "big")),
        "y": b64url(y.to_bytes(size, "big")),
    }


def rsa(modulus: int, exponent: int) -> dict[str, object]:
    """RSA public key."""
    return {"kty": "RSA", "n": b64url(minimal(modulus)), "e": b64url(minimal(exponent))}


def minimal(number: int) -> bytes:
    """Big-endian in the fewest bytes."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def dss_der(r: int, s: int) -> bytes:
    """ECDSA signature as DER."""
    return encode_dss_signature(r, s)


@dataclass(frozen=True)
class VerifyCase:
    """``valid`` is the verdict that the vectors give; ``name`` finds the case in its file."""

    name: str
    jwk: dict[str, object]
    message: bytes
    signature: bytes
    valid: bool
    context: bytes = b""
    p1363: bool = False
    prehashed: str | None = None

    def item(self) -> dict[str, object]:
        """The item of a verify batch."""
        item: dict[str, object] = {
            "public_key": self.jwk,
            "message": b64(self.message),
            "signature": b64(self.signature),
        }
        if self.context:
            item["context"] = b64(self.context)
        if self.p1363:
            item["signature_format"] = "p1363"
        if self.prehashed is not None:
            item["prehashed"] = self.prehashed
        return item


def tally(cases: Iterable[VerifyCase]) -> tuple[int, int]:
    """(cases that must verify, cases that must not)."""
    verdicts = [case.valid for case in cases]
    return verdicts.count(True), verdicts.count(False)


@dataclass(frozen=True)
class WrapCase:
    """``plaintext`` is None where the ciphertext must be refused."""

    name: str
    key: bytes
    plaintext: bytes | None
    ciphertext: bytes
