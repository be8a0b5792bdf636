"""Checks signatures with ``cryptography`` alone, from the JWK that the service exports."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    SECP384R1,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import (
    MLDSA44PublicKey,
    MLDSA65PublicKey,
    MLDSA87PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

_ML_DSA: dict[str, type[MLDSA44PublicKey | MLDSA65PublicKey | MLDSA87PublicKey]] = {
    "ML-DSA-44": MLDSA44PublicKey,
    "ML-DSA-65": MLDSA65PublicKey,
    "ML-DSA-87": MLDSA87PublicKey,
}


def base64url(text: str) -> bytes:
    """Decodes base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verifies(jwk: Mapping[str, str], message: bytes, signature: bytes) -> bool:
    """True if ``signature`` (ECDSA in DER, PS256 with a salt of 32) is one of ``message`` under ``jwk``."""
    alg = jwk["alg"]
    try:
        if alg == "Ed25519":
            Ed25519PublicKey.from_public_bytes(base64url(jwk["x"])).verify(signature, message)
        elif alg in ("ES256", "ES384"):
            curve, digest = (SECP256R1(), SHA256()) if alg == "ES256" else (SECP384R1(), SHA384())
            x, y = (int.from_bytes(base64url(jwk[name]), "big") for name in ("x", "y"))
            EllipticCurvePublicNumbers(x, y, curve).public_key().verify(signature, message, ECDSA(digest))
        elif alg == "PS256":
            exponent, modulus = (int.from_bytes(base64url(jwk[name]), "big") for name in ("e", "n"))
            key = RSAPublicNumbers(exponent, modulus).public_key()
            key.verify(signature, message, PSS(MGF1(SHA256()), 32), SHA256())
        else:
            _ML_DSA[alg].from_public_bytes(base64url(jwk["pub"])).verify(signature, message)
    except InvalidSignature:
        return False
    return True
