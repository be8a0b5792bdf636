"""SubjectPublicKeyInfo, checked against ``cryptography`` and against bytes from the drafts."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa

from ronkms.domain.spki import OIDS, RAW_SIZES, pem_from_public, spki_from_public
from ronkms.errors import BadRequest

PUBLIC_KEYS = {
    "Ed25519": ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key(),
    "ML-DSA-44": mldsa.MLDSA44PrivateKey.from_seed_bytes(bytes(32)).public_key(),
    "ML-DSA-65": mldsa.MLDSA65PrivateKey.from_seed_bytes(bytes(32)).public_key(),
    "ML-DSA-87": mldsa.MLDSA87PrivateKey.from_seed_bytes(bytes(32)).public_key(),
}

HEADERS = [
    ("MLDSA44-Ed25519-SHA512", 1344, "30820551300a06082b060105050706270382054100"),
    ("MLDSA65-ECDSA-P256-SHA512", 2017, "308207f2300a06082b0601050507062d038207e200"),
    ("MLDSA65-Ed25519-SHA512", 1984, "308207d1300a06082b06010505070630038207c100"),
    ("MLDSA87-ECDSA-P384-SHA512", 2689, "30820a92300a06082b0601050507063103820a8200"),
]
"""From the certificates of the test vectors of draft-ietf-lamps-pq-composite-sigs."""


@pytest.mark.parametrize("alg", PUBLIC_KEYS)
def test_raw_keys_give_what_cryptography_gives(alg: str) -> None:
    key = PUBLIC_KEYS[alg]
    raw = key.public_bytes_raw()
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    assert len(raw) == RAW_SIZES[alg]
    assert spki_from_public(alg, raw) == key.public_bytes(serialization.Encoding.DER, info)
    assert pem_from_public(alg, raw).encode() == key.public_bytes(serialization.Encoding.PEM, info)


@pytest.mark.parametrize(("alg", "size", "header"), HEADERS)
def test_composite_headers_are_those_of_the_draft_certificates(alg: str, size: int, header: str) -> None:
    assert spki_from_public(alg, bytes(size)).hex() == header + "00" * size


def test_x_wing_header() -> None:
    der = spki_from_public("X-Wing", bytes(1216))
    assert der.hex() == "308204d4300d060b2b0601040183e62d81c87a038204c100" + "00" * 1216


def test_elliptic_curve_keys_are_der_already() -> None:
    key = ec.derive_private_key(7, ec.SECP256R1()).public_key()
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    der = key.public_bytes(serialization.Encoding.DER, info)
    assert spki_from_public("ES256", der) == der
    assert pem_from_public("ES256", der).encode() == key.public_bytes(serialization.Encoding.PEM, info)


@pytest.mark.parametrize("alg", ["AES-256-GCM", "AES-KWP", "RS256", ""])
def test_nothing_to_publish(alg: str) -> None:
    with pytest.raises(BadRequest, match="no public part"):
        spki_from_public(alg, b"")


def test_every_raw_algorithm_has_an_oid_and_a_size() -> None:
    assert OIDS.keys() == RAW_SIZES.keys()
