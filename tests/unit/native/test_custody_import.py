"""Custody: import of wrapped key material, as a client with ``cryptography`` wraps it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hpke, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from ronkms_native import Custody, DamagedRecord, InputError, KeyMaterialError, PublicKey, UnwrapError

RSA = "RSA-OAEP-3072-SHA256-AES-KWP"
HPKE = "HPKE-X-Wing-HKDF-SHA256-AES-256-GCM"
INFO = b"ron-kms import v1"
SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
PKCS8 = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()


@pytest.fixture(scope="module")
def custody() -> Custody:
    return Custody.create("dev", None)[0]


def wrap_rsa(public: bytes, material: bytes) -> bytes:
    key = serialization.load_der_public_key(public)
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 3072
    kek = os.urandom(32)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    return key.encrypt(kek, oaep) + keywrap.aes_key_wrap_with_padding(kek, material)


def wrap_hpke(public: bytes, material: bytes) -> bytes:
    key = hpke.MLKEM768X25519PublicKey(
        mlkem.MLKEM768PublicKey.from_public_bytes(public[:1184]),
        x25519.X25519PublicKey.from_public_bytes(public[1184:]),
    )
    return SUITE.encrypt(material, key, INFO)


MECHANISMS: dict[str, Callable[[bytes, bytes], bytes]] = {RSA: wrap_rsa, HPKE: wrap_hpke}


def import_material(
    custody: Custody, alg: str, material: bytes, mechanism: str = HPKE
) -> tuple[bytes, bytes]:
    params, public = custody.import_params(mechanism, b"params")
    wrapped = MECHANISMS[mechanism](public, material)
    return custody.import_key(mechanism, params, b"params", wrapped, alg, b"key")


def der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    encoded = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(encoded)]) + encoded + content


def ml_dsa_pkcs8(private_key: bytes, last_arc: int) -> bytes:
    oid = bytes.fromhex("06096086480165030403") + bytes([last_arc])
    return der(0x30, b"\x02\x01\x00" + der(0x30, oid) + der(0x04, private_key))


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_keys_of_cryptography_are_imported_and_sign(custody: Custody, mechanism: str) -> None:
    spki = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    keys: list[tuple[str, Any, Any]] = [
        ("Ed25519", ed25519.Ed25519PrivateKey.generate(), raw),
        ("ES256", ec.generate_private_key(ec.SECP256R1()), spki),
        ("ES384", ec.generate_private_key(ec.SECP384R1()), spki),
        ("PS256", rsa.generate_private_key(65537, 2048), spki),
        ("ML-DSA-44", mldsa.MLDSA44PrivateKey.generate(), raw),
        ("ML-DSA-65", mldsa.MLDSA65PrivateKey.generate(), raw),
        ("ML-DSA-87", mldsa.MLDSA87PrivateKey.generate(), raw),
    ]
    for alg, key, public_form in keys:
        record, public = import_material(custody, alg, key.private_bytes(*PKCS8), mechanism)
        assert public == key.public_key().public_bytes(*public_form), alg
        signature = custody.unseal(record, b"key").sign(b"message")
        assert PublicKey(alg, public).verify(b"message", signature) == (True,)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_symmetric_keys_and_seeds(custody: Custody, mechanism: str) -> None:
    kek = os.urandom(32)
    record, public = import_material(custody, "AES-KWP", kek, mechanism)
    assert public == b""
    wrapped = custody.unseal(record, b"key").wrap(b"", b"", b"a data key")
    assert keywrap.aes_key_unwrap_with_padding(kek, wrapped) == b"a data key"

    key_bytes = os.urandom(32)
    record, _ = import_material(custody, "AES-256-GCM", key_bytes, mechanism)
    wrapped = custody.unseal(record, b"key").wrap(b"header", b"aad", b"plaintext")
    salt, nonce, sealed = wrapped[:32], wrapped[32:44], wrapped[44:]
    message_key = HKDF(hashes.SHA256(), 32, salt, b"header").derive(key_bytes)
    bound = (6).to_bytes(8, "big") + b"header" + b"aad"
    assert AESGCM(message_key).decrypt(nonce, sealed, bound) == b"plaintext"

    seed = os.urandom(32)
    record, public = import_material(custody, "X-Wing", seed, mechanism)
    expanded = hashlib.shake_256(seed).digest(96)
    private = hpke.MLKEM768X25519PrivateKey(
        mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
        x25519.X25519PrivateKey.from_private_bytes(expanded[64:]),
    )
    key = custody.unseal(record, b"key")
    assert key.public == public
    assert SUITE.decrypt(key.wrap(b"header", b"", b"plaintext"), private, b"header") == b"plaintext"


def test_the_composite_takes_both_seeds(custody: Custody) -> None:
    seeds = os.urandom(64)
    record, public = import_material(custody, "MLDSA65-Ed25519-SHA512", seeds)
    ml_dsa = mldsa.MLDSA65PrivateKey.from_seed_bytes(seeds[:32]).public_key().public_bytes_raw()
    classical = ed25519.Ed25519PrivateKey.from_private_bytes(seeds[32:]).public_key().public_bytes_raw()
    assert public == ml_dsa + classical
    oid = bytes.fromhex("06082b06010505070630")
    pkcs8 = der(0x30, b"\x02\x01\x00" + der(0x30, oid) + der(0x04, seeds))
    assert import_material(custody, "MLDSA65-Ed25519-SHA512", pkcs8)[1] == public
    assert custody.unseal(record, b"key").public == public


def test_the_three_forms_of_ml_dsa_private_keys(custody: Custody) -> None:
    seed = os.urandom(32)
    public = mldsa.MLDSA44PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()
    seed_form = ml_dsa_pkcs8(der(0x80, seed), 17)
    assert import_material(custody, "ML-DSA-44", seed_form)[1] == public
    for form in (
        der(0x04, bytes(2560)),
        der(0x30, der(0x04, seed) + der(0x04, bytes(2560))),
        der(0x80, seed[:31]),
        der(0x80, seed) + b"\x00",
        seed,
    ):
        with pytest.raises(KeyMaterialError):
            import_material(custody, "ML-DSA-44", ml_dsa_pkcs8(form, 17))
    with pytest.raises(KeyMaterialError, match="another algorithm"):
        import_material(custody, "ML-DSA-65", seed_form)


def test_foreign_material_is_refused(custody: Custody) -> None:
    ed_key = ed25519.Ed25519PrivateKey.generate().private_bytes(*PKCS8)
    small = rsa.generate_private_key(65537, 1024).private_bytes(*PKCS8)
    tiny_exponent = rsa.generate_private_key(3, 2048).private_bytes(*PKCS8)
    for alg, material in [
        ("ES256", ed_key),
        ("Ed25519", ec.generate_private_key(ec.SECP256R1()).private_bytes(*PKCS8)),
        ("ES256", ec.generate_private_key(ec.SECP384R1()).private_bytes(*PKCS8)),
        ("PS256", small),
        ("PS256", tiny_exponent),
        ("Ed25519", ed_key + b"\x00"),
        ("Ed25519", os.urandom(32)),
        ("AES-256-GCM", os.urandom(16)),
        ("AES-KWP", os.urandom(33)),
        ("X-Wing", os.urandom(64)),
        ("MLDSA65-Ed25519-SHA512", os.urandom(63)),
    ]:
        with pytest.raises(KeyMaterialError):
            import_material(custody, alg, material)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_what_is_not_wrapped_to_the_parameters_is_refused(custody: Custody, mechanism: str) -> None:
    params, public = custody.import_params(mechanism, b"params")
    wrapped = MECHANISMS[mechanism](public, os.urandom(32))
    for index in range(0, len(wrapped), 37):
        broken = wrapped[:index] + bytes([wrapped[index] ^ 1]) + wrapped[index + 1 :]
        with pytest.raises(UnwrapError):
            custody.import_key(mechanism, params, b"params", broken, "AES-KWP", b"key")
    for cut in (0, 8, 100, 384, 391, len(wrapped) - 1):
        with pytest.raises(UnwrapError):
            custody.import_key(mechanism, params, b"params", wrapped[:cut], "AES-KWP", b"key")
    with pytest.raises(DamagedRecord):
        custody.import_key(mechanism, params, b"other", wrapped, "AES-KWP", b"key")
    other_mechanism = next(name for name in MECHANISMS if name != mechanism)
    with pytest.raises(DamagedRecord):
        custody.import_key(other_mechanism, params, b"params", wrapped, "AES-KWP", b"key")
    with pytest.raises(InputError):
        custody.import_params("RSA-PKCS1", b"params")
    with pytest.raises(DamagedRecord):
        custody.unseal(params, b"params")
