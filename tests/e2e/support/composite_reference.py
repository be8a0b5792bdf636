"""MLDSA65-Ed25519-SHA512 composed from two independent verifiers, as draft-ietf-lamps-pq-composite-sigs says.

Shares no code with ron-kms: ML-DSA-65 and Ed25519 come from ``cryptography``, M' is built here.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey

PREFIX = b"CompositeAlgorithmSignatures2025"
LABEL = b"COMPSIG-MLDSA65-Ed25519-SHA512"
MLDSA_PUBLIC, MLDSA_SIGNATURE = 1952, 3309


def message_representative(message: bytes, context: bytes) -> bytes:
    """M' = Prefix || Label || len(ctx) || ctx || SHA-512(M)."""
    return PREFIX + LABEL + bytes([len(context)]) + context + hashlib.sha512(message).digest()


def verify(public: bytes, message: bytes, signature: bytes, context: bytes = b"") -> tuple[bool, bool]:
    """The verdicts of (ML-DSA-65, Ed25519); a composite signature is valid if both are."""
    represented = message_representative(message, context)
    try:
        mldsa = MLDSA65PublicKey.from_public_bytes(public[:MLDSA_PUBLIC])
        mldsa.verify(signature[:MLDSA_SIGNATURE], represented, LABEL)
        post_quantum = True
    except InvalidSignature:
        post_quantum = False
    try:
        Ed25519PublicKey.from_public_bytes(public[MLDSA_PUBLIC:]).verify(
            signature[MLDSA_SIGNATURE:], represented
        )
        classical = True
    except InvalidSignature:
        classical = False
    return post_quantum, classical
