"""Composites from two independent verifiers, as draft-ietf-lamps-pq-composite-sigs says.

Shares no code with ron-kms: ML-DSA, Ed25519 and ECDSA come from ``cryptography``, M' is built here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa

PREFIX = b"CompositeAlgorithmSignatures2025"


@dataclass(frozen=True)
class Reference:
    """One row of the draft: its label, ML-DSA's sizes in bytes, and the two verifiers."""

    label: bytes
    mldsa_public: int
    mldsa_signature: int
    mldsa: Any
    classical: Callable[[bytes, bytes, bytes], None]

    def message_representative(self, message: bytes, context: bytes) -> bytes:
        """M' = Prefix || Label || len(ctx) || ctx || SHA-512(M)."""
        return PREFIX + self.label + bytes([len(context)]) + context + hashlib.sha512(message).digest()

    def verify(
        self, public: bytes, message: bytes, signature: bytes, context: bytes = b""
    ) -> tuple[bool, bool]:
        """The verdicts of (ML-DSA, classical); a composite signature is valid if both are."""
        represented = self.message_representative(message, context)
        mldsa_key = self.mldsa.from_public_bytes(public[: self.mldsa_public])
        first, second = signature[: self.mldsa_signature], signature[self.mldsa_signature :]
        return (
            _accepts(lambda: mldsa_key.verify(first, represented, self.label)),
            _accepts(lambda: self.classical(public[self.mldsa_public :], second, represented)),
        )


def _accepts(verify: Callable[[], None]) -> bool:
    try:
        verify()
    except InvalidSignature:
        return False
    return True


def _ed25519(public: bytes, signature: bytes, message: bytes) -> None:
    ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, message)


def _ecdsa(curve: ec.EllipticCurve, digest: hashes.HashAlgorithm) -> Callable[[bytes, bytes, bytes], None]:
    def verify(public: bytes, signature: bytes, message: bytes) -> None:
        key = ec.EllipticCurvePublicKey.from_encoded_point(curve, public)
        key.verify(signature, message, ec.ECDSA(digest))

    return verify


COMPOSITES = {
    "MLDSA44-Ed25519-SHA512": Reference(
        b"COMPSIG-MLDSA44-Ed25519-SHA512", 1312, 2420, mldsa.MLDSA44PublicKey, _ed25519
    ),
    "MLDSA65-Ed25519-SHA512": Reference(
        b"COMPSIG-MLDSA65-Ed25519-SHA512", 1952, 3309, mldsa.MLDSA65PublicKey, _ed25519
    ),
    "MLDSA65-ECDSA-P256-SHA512": Reference(
        b"COMPSIG-MLDSA65-ECDSA-P256-SHA512",
        1952,
        3309,
        mldsa.MLDSA65PublicKey,
        _ecdsa(ec.SECP256R1(), hashes.SHA256()),
    ),
    "MLDSA87-ECDSA-P384-SHA512": Reference(
        b"COMPSIG-MLDSA87-ECDSA-P384-SHA512",
        2592,
        4627,
        mldsa.MLDSA87PublicKey,
        _ecdsa(ec.SECP384R1(), hashes.SHA384()),
    ),
}
