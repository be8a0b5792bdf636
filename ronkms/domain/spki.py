"""SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), in DER and in PEM (RFC 7468 section 13).

Public keys travel inside ron-kms in the encoding of ``ronkms_native.Custody.generate``: raw bytes where
the standard's SubjectPublicKeyInfo is nothing but an OID and those bytes, DER where the key has
parameters or structure of its own (EC, RSA).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from ronkms.errors import BadRequest

OIDS: Final[Mapping[str, ObjectIdentifier]] = MappingProxyType(
    {
        "Ed25519": ObjectIdentifier("1.3.101.112"),
        "ML-DSA-44": ObjectIdentifier("2.16.840.1.101.3.4.3.17"),
        "ML-DSA-65": ObjectIdentifier("2.16.840.1.101.3.4.3.18"),
        "ML-DSA-87": ObjectIdentifier("2.16.840.1.101.3.4.3.19"),
        "MLDSA44-Ed25519-SHA512": ObjectIdentifier("1.3.6.1.5.5.7.6.39"),
        "MLDSA65-Ed25519-SHA512": ObjectIdentifier("1.3.6.1.5.5.7.6.48"),
        "MLDSA65-ECDSA-P256-SHA512": ObjectIdentifier("1.3.6.1.5.5.7.6.45"),
        "MLDSA87-ECDSA-P384-SHA512": ObjectIdentifier("1.3.6.1.5.5.7.6.49"),
        "X-Wing": ObjectIdentifier("1.3.6.1.4.1.62253.25722"),
    }
)
"""Algorithms whose public key is raw: RFC 8410, RFC 9881, draft-ietf-lamps-pq-composite-sigs,
draft-connolly-cfrg-xwing-kem. Their parameters are absent."""

RAW_SIZES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "Ed25519": 32,
        "ML-DSA-44": 1312,
        "ML-DSA-65": 1952,
        "ML-DSA-87": 2592,
        "MLDSA44-Ed25519-SHA512": 1344,
        "MLDSA65-Ed25519-SHA512": 1984,
        "MLDSA65-ECDSA-P256-SHA512": 2017,
        "MLDSA87-ECDSA-P384-SHA512": 2689,
        "X-Wing": 1216,
    }
)
"""Bytes of a raw public key: RFC 8032, FIPS 204 table 2, the composites (ML-DSA, then 32
bytes for Ed25519, an uncompressed point of 65 or 97 for ECDSA), X-Wing 1184 + 32."""

_PEM_COLUMNS: Final = 64


@asn1.sequence
class AlgorithmIdentifier:
    """RFC 5280 section 4.1.1.2 with absent parameters."""

    algorithm: ObjectIdentifier


@asn1.sequence
class SubjectPublicKeyInfo:
    """RFC 5280 section 4.1.2.7 of an algorithm without parameters."""

    algorithm: AlgorithmIdentifier
    subject_public_key: asn1.BitString


def spki_from_public(alg: str, public: bytes) -> bytes:
    """DER SubjectPublicKeyInfo of ``public``, which is in the encoding of ``ronkms_native``.

    Raises :class:`BadRequest` for a secret key or an unknown algorithm: there is nothing to publish.
    """
    if alg in ("ES256", "ES384", "PS256"):
        return public
    oid = OIDS.get(alg)
    if oid is None:
        raise BadRequest(f"a key of algorithm {alg} has no public part")
    return asn1.encode_der(
        SubjectPublicKeyInfo(
            algorithm=AlgorithmIdentifier(algorithm=oid),
            subject_public_key=asn1.BitString(data=public, padding_bits=0),
        )
    )


def pem_from_public(alg: str, public: bytes) -> str:
    """``spki_from_public`` as one ``PUBLIC KEY`` block with a final newline. Raises as it does."""
    body = base64.b64encode(spki_from_public(alg, public)).decode("ascii")
    lines = [body[start : start + _PEM_COLUMNS] for start in range(0, len(body), _PEM_COLUMNS)]
    return "\n".join(("-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""))
