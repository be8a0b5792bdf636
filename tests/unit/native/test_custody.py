"""Custody: signing and wrapping against ``cryptography``, in both directions."""

from __future__ import annotations

import gc
import hashlib
import hmac
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st
from ronkms_native import (
    Custody,
    CustodyFull,
    DamagedRecord,
    InputError,
    KeyMaterialError,
    NativeError,
    PrivateKey,
    PublicKey,
    SealError,
    UnwrapError,
    verify_batch,
)

from tests.e2e.support.composite_reference import COMPOSITES

ML_DSA: dict[str, Any] = {
    "ML-DSA-44": mldsa.MLDSA44PublicKey,
    "ML-DSA-65": mldsa.MLDSA65PublicKey,
    "ML-DSA-87": mldsa.MLDSA87PublicKey,
}
SIGNING = ["Ed25519", "ES256", "ES384", "PS256", *ML_DSA, *COMPOSITES]
WRAPPING = ["AES-256-GCM", "AES-KWP", "X-Wing"]
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)


@pytest.fixture(scope="module")
def custody() -> Custody:
    return Custody.create("dev", None)[0]


def unsealed(custody: Custody, alg: str, identity: bytes = b"tenant/key/1") -> PrivateKey:
    record, public = custody.generate(alg, identity)
    key = custody.unseal(record, identity)
    assert key.public == public
    return key


def accepts(verify: Callable[[], object]) -> bool:
    try:
        verify()
    except InvalidSignature:
        return False
    return True


def oracle(key: PrivateKey, message: bytes, signature: bytes) -> bool:
    """The verdict of ``cryptography`` on a signature by ``key``."""
    if key.alg == "Ed25519":
        return accepts(
            lambda: ed25519.Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
        )
    if key.alg in ML_DSA:
        return accepts(lambda: ML_DSA[key.alg].from_public_bytes(key.public).verify(signature, message))
    public = serialization.load_der_public_key(key.public)
    if isinstance(public, rsa.RSAPublicKey):
        assert public.key_size == 3072
        return accepts(lambda: public.verify(signature, message, PSS, hashes.SHA256()))
    assert isinstance(public, ec.EllipticCurvePublicKey)
    digest = hashes.SHA256() if key.alg == "ES256" else hashes.SHA384()
    return accepts(lambda: public.verify(signature, message, ec.ECDSA(digest)))


@pytest.mark.parametrize("alg", [alg for alg in SIGNING if alg not in COMPOSITES])
@pytest.mark.parametrize("message", [b"", b"message", b"\x00" * 70_000], ids=["empty", "short", "long"])
def test_cryptography_accepts_what_the_custody_signs(custody: Custody, alg: str, message: bytes) -> None:
    key = unsealed(custody, alg)
    signature = key.sign(message)
    assert oracle(key, message, signature)
    assert not oracle(key, message + b"x", signature)
    assert PublicKey(alg, key.public).verify(message, signature) == (True,)


@pytest.mark.parametrize("alg", COMPOSITES)
def test_a_composite_is_two_signatures_over_the_drafts_representative(custody: Custody, alg: str) -> None:
    key = unsealed(custody, alg)
    context, message = b"context", b"message"
    signature = key.sign(message, context=context)
    assert COMPOSITES[alg].verify(key.public, message, signature, context) == (True, True)
    public = PublicKey(key.alg, key.public)
    assert public.verify(message, signature, context=context) == (True, True)
    assert public.verify(message, signature) == (False, False)
    split = COMPOSITES[alg].mldsa_signature
    other = key.sign(b"other", context=context)
    assert public.verify(message, signature[:split] + other[split:], context=context) == (True, False)
    assert public.verify(message, bytes(split) + signature[split:], context=context) == (False, True)


@pytest.mark.parametrize("alg", COMPOSITES)
def test_a_stripped_or_stretched_composite_has_no_good_component(custody: Custody, alg: str) -> None:
    key = unsealed(custody, alg)
    public, signature = PublicKey(alg, key.public), key.sign(b"message")
    split = COMPOSITES[alg].mldsa_signature
    for other in (signature[:split], signature[split:], signature[:-1], signature + b"\0", b""):
        assert public.verify(b"message", other) == (False, False), len(other)


def test_the_custody_accepts_what_cryptography_signs() -> None:
    message = b"message"
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    der = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    ed = ed25519.Ed25519PrivateKey.generate()
    assert PublicKey("Ed25519", ed.public_key().public_bytes(*raw)).verify(message, ed.sign(message)) == (
        True,
    )
    for alg, curve, digest in [
        ("ES256", ec.SECP256R1(), hashes.SHA256()),
        ("ES384", ec.SECP384R1(), hashes.SHA384()),
    ]:
        key = ec.generate_private_key(curve)
        signature = key.sign(message, ec.ECDSA(digest))
        public = PublicKey(alg, key.public_key().public_bytes(*der))
        assert public.verify(message, signature) == (True,)
        r, s = decode_dss_signature(signature)
        half = curve.key_size // 8
        fixed = r.to_bytes(half, "big") + s.to_bytes(half, "big")
        assert public.verify(message, fixed, p1363=True) == (True,)
        assert public.verify(message, fixed) == (False,)
    for bits in (2048, 4096):
        rsa_key = rsa.generate_private_key(65537, bits)
        public = PublicKey("PS256", rsa_key.public_key().public_bytes(*der))
        assert public.verify(message, rsa_key.sign(message, PSS, hashes.SHA256())) == (True,)
        longer_salt = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=33)
        assert public.verify(message, rsa_key.sign(message, longer_salt, hashes.SHA256())) == (False,)
    ml_dsa: list[tuple[str, Any]] = [
        ("ML-DSA-44", mldsa.MLDSA44PrivateKey.generate()),
        ("ML-DSA-65", mldsa.MLDSA65PrivateKey.generate()),
        ("ML-DSA-87", mldsa.MLDSA87PrivateKey.generate()),
    ]
    for alg, private in ml_dsa:
        public = PublicKey(alg, private.public_key().public_bytes_raw())
        assert public.verify(message, private.sign(message, b"ctx"), context=b"ctx") == (True,)
        assert public.verify(message, private.sign(message, b"ctx")) == (False,)


def test_digests_and_mu(custody: Custody) -> None:
    for alg, name, digest in [("ES256", "sha256", hashes.SHA256()), ("ES384", "sha384", hashes.SHA384())]:
        key = unsealed(custody, alg)
        hashed = hashlib.new(name, b"message").digest()
        public = serialization.load_der_public_key(key.public)
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(key.sign(hashed, input_kind=name), hashed, ec.ECDSA(Prehashed(digest)))
        public.verify(key.sign(hashed, input_kind=name), b"message", ec.ECDSA(digest))
    key = unsealed(custody, "PS256")
    assert oracle(key, b"message", key.sign(hashlib.sha256(b"message").digest(), input_kind="sha256"))


@pytest.mark.parametrize("alg", ML_DSA)
def test_ml_dsa_variants(custody: Custody, alg: str) -> None:
    key = unsealed(custody, alg)
    oracle_key = ML_DSA[alg].from_public_bytes(key.public)
    public = PublicKey(alg, key.public)
    tr = hashlib.shake_256(key.public).digest(64)
    mu = hashlib.shake_256(tr + b"\x00\x03ctx" + b"message").digest(64)
    by_mu = key.sign(mu, input_kind="mu")
    by_message = key.sign(b"message", context=b"ctx")
    deterministic = key.sign(b"message", context=b"ctx", deterministic=True)
    for signature in (by_mu, by_message, deterministic):
        oracle_key.verify(signature, b"message", b"ctx")
        assert public.verify(mu, signature, input_kind="mu") == (True,)
        assert public.verify(b"message", signature, context=b"ctx") == (True,)
        assert public.verify(b"message", signature) == (False,)
    assert deterministic == key.sign(mu, input_kind="mu", deterministic=True)
    assert len({by_mu, by_message, deterministic, key.sign(mu, input_kind="mu")}) == 4


@pytest.mark.parametrize("alg", SIGNING)
def test_what_a_signature_is_made_with_is_checked(custody: Custody, alg: str) -> None:
    key = unsealed(custody, alg)
    public = PublicKey(alg, key.public)
    with pytest.raises(InputError):
        key.sign(b"m", input_kind="sha1")
    with pytest.raises(InputError):
        public.verify(b"m", b"", input_kind="sha1")
    if alg in {"Ed25519", "ES256", "ES384", "PS256"}:
        with pytest.raises(InputError):
            key.sign(b"m", context=b"c")
        with pytest.raises(InputError):
            public.verify(b"m", b"", context=b"c")
    with pytest.raises(InputError):
        key.sign(b"m", context=b"c" * 256)


@pytest.mark.parametrize("alg", SIGNING)
def test_batches_agree_with_single_operations(custody: Custody, alg: str) -> None:
    key = unsealed(custody, alg)
    public = PublicKey(alg, key.public)
    messages = [bytes([number]) * number for number in range(70)]
    signatures = key.sign_batch(messages)
    signatures[3] = signatures[4]
    signatures[69] = b""
    items = [
        (public, message, signature, b"") for message, signature in zip(messages, signatures, strict=True)
    ]
    verdicts = verify_batch(items)
    assert verdicts == [public.verify(message, signature) for _, message, signature, _ in items]
    assert sum(all(verdict) for verdict in verdicts) == 68


@pytest.mark.parametrize("count", [1, 7, 8, 70])
def test_batches_in_the_background_are_the_same_and_leave_the_caller_as_it_was(
    custody: Custody, count: int
) -> None:
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    key = unsealed(custody, "Ed25519")
    public = PublicKey("Ed25519", key.public)
    messages = [bytes([number]) * number for number in range(count)]
    signatures = key.sign_batch(messages, background=True)
    assert signatures == key.sign_batch(messages)
    items = [
        (public, message, signature, b"") for message, signature in zip(messages, signatures, strict=True)
    ]
    items[0] = (public, b"another", items[0][2], b"")
    verdicts = verify_batch(items, background=True)
    assert [all(verdict) for verdict in verdicts] == [False] + [True] * (count - 1)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_malformed_public_keys() -> None:
    refused = [
        ("Ed25519", b"\x01" + bytes(31)),
        ("Ed25519", bytes(32)),
        ("Ed25519", b"\xff" * 32),
        ("Ed25519", bytes(31)),
        ("ES256", bytes(91)),
        ("ML-DSA-65", bytes(1951)),
        ("MLDSA65-Ed25519-SHA512", bytes(1984)),
        ("MLDSA65-Ed25519-SHA512", b""),
        ("MLDSA65-ECDSA-P256-SHA512", bytes(2017)),
        ("MLDSA87-ECDSA-P384-SHA512", bytes(2592) + b"\x04" + bytes(96)),
        ("X-Wing", bytes(1215)),
        ("AES-KWP", b""),
    ]
    der = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    p384 = ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(*der)
    refused += [("ES256", p384), ("PS256", p384), ("ES384", p384 + b"\x00"), ("ES384", p384[:-1])]
    for size in (1024, 5120):
        small = rsa.RSAPublicNumbers(65537, (1 << (size - 1)) + 1).public_key().public_bytes(*der)
        refused.append(("PS256", small))
    tiny_exponent = rsa.RSAPublicNumbers(3, (1 << 2047) + 1).public_key().public_bytes(*der)
    refused.append(("PS256", tiny_exponent))
    for alg, public in refused:
        with pytest.raises(KeyMaterialError):
            PublicKey(alg, public)
    with pytest.raises(InputError):
        PublicKey("RS256", b"")


def test_header_and_aad_are_bound_each_by_itself(custody: Custody) -> None:
    key = unsealed(custody, "AES-256-GCM")
    wrapped = key.wrap(b"header", b"aad", b"plaintext")
    assert len(wrapped) == 32 + 12 + 9 + 16
    assert key.unwrap(b"header", b"aad", wrapped) == b"plaintext"
    for header, aad in [(b"heade", b"aad"), (b"header", b"aae"), (b"headera", b"ad")]:
        with pytest.raises(UnwrapError):
            key.unwrap(header, aad, wrapped)


def test_wrapping_inverts_for_every_algorithm(custody: Custody) -> None:
    for alg in WRAPPING:
        key = unsealed(custody, alg)
        aad = b"" if alg == "AES-KWP" else b"aad"
        for size in (1, 32, 65_536):
            plaintext = bytes(size)
            wrapped = key.wrap(b"header", aad, plaintext)
            assert key.unwrap(b"header", aad, wrapped) == plaintext
            with pytest.raises(UnwrapError):
                key.unwrap(b"header", aad, wrapped[:-1])
        for plaintext in (b"", bytes(65_537)):
            with pytest.raises(InputError):
                key.wrap(b"header", aad, plaintext)
        with pytest.raises(InputError):
            key.sign(b"m")


def test_hpke_with_cryptography(custody: Custody) -> None:
    key = unsealed(custody, "X-Wing")
    public = hpke.MLKEM768X25519PublicKey(
        mlkem.MLKEM768PublicKey.from_public_bytes(key.public[:1184]),
        x25519.X25519PublicKey.from_public_bytes(key.public[1184:]),
    )
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    assert key.unwrap(b"header", b"", suite.encrypt(b"plaintext", public, b"header")) == b"plaintext"


def test_records_are_bound_to_identity_and_root(custody: Custody) -> None:
    record, _ = custody.generate("Ed25519", b"a/1")
    for identity in (b"a/2", b"", b"a/1\x00"):
        with pytest.raises(DamagedRecord):
            custody.unseal(record, identity)
    with pytest.raises(DamagedRecord):
        Custody.create("dev", None)[0].unseal(record, b"a/1")
    with pytest.raises(DamagedRecord):
        custody.open_secret(record, b"a/1")


@settings(max_examples=100, deadline=None)
@given(record=st.binary(max_size=200), identity=st.binary(max_size=20))
def test_arbitrary_records_are_damaged(record: bytes, identity: bytes) -> None:
    custody = Custody.create("dev", None)[0]
    with pytest.raises(DamagedRecord):
        custody.unseal(record, identity)


def test_nothing_shows_a_secret(custody: Custody) -> None:
    key = unsealed(custody, "Ed25519")
    assert repr(key) == "PrivateKey(alg='Ed25519')"
    assert repr(custody) == "Custody()"
    assert repr(PublicKey("Ed25519", key.public)) == "PublicKey(alg='Ed25519')"
    assert not hasattr(key, "__dict__")
    for handle in (key, custody):
        with pytest.raises(TypeError, match="cannot pickle"):
            pickle.dumps(handle)


def test_dropping_keys_gives_their_memory_back(custody: Custody) -> None:
    record, _ = custody.generate("ML-DSA-87", b"k")
    keys: list[PrivateKey] = []
    with pytest.raises(CustodyFull):
        for _ in range(100_000):
            keys.append(custody.unseal(record, b"k"))
    keys.clear()
    gc.collect()
    assert custody.unseal(record, b"k").sign(b"m")


def test_mac_separates_labels_and_roots(custody: Custody) -> None:
    tag = custody.mac("label", b"data")
    assert len(tag) == 32
    assert tag == custody.mac("label", b"data")
    others = {custody.mac("other", b"data"), custody.mac("label", b"date")}
    others.add(Custody.create("dev", None)[0].mac("label", b"data"))
    assert tag not in others
    assert len(others) == 3


def test_a_mac_key_is_the_same_after_sealing(custody: Custody) -> None:
    sealed, other = custody.generate_mac_key(b"e1"), custody.generate_mac_key(b"e1")
    key = custody.unseal_mac_key(sealed, b"e1")
    assert key.mac(b"data") == custody.unseal_mac_key(sealed, b"e1").mac(b"data")
    assert key.mac(b"data") != custody.unseal_mac_key(other, b"e1").mac(b"data")
    assert len(key.mac(b"")) == 32
    for record, identity in (
        (sealed, b"e2"),
        (sealed[:-1], b"e1"),
        (custody.seal_secret(b"k" * 32, b"e1"), b"e1"),
    ):
        with pytest.raises(DamagedRecord):
            custody.unseal_mac_key(record, identity)
    with pytest.raises(DamagedRecord):
        custody.open_secret(sealed, b"e1")
    with pytest.raises(DamagedRecord):
        custody.unseal(sealed, b"e1")
    assert repr(key) == "MacKey()"


def test_a_mac_key_is_sealed_to_a_recipient_as_other_code_opens_it(custody: Custody) -> None:
    key = custody.unseal_mac_key(custody.generate_mac_key(b"e1"), b"e1")
    ml_kem, ecdh = mlkem.MLKEM768PrivateKey.generate(), x25519.X25519PrivateKey.generate()
    public = ml_kem.public_key().public_bytes_raw() + ecdh.public_key().public_bytes_raw()
    sealed = key.seal_to(public, b"info", b"")
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    opened = suite.decrypt(sealed, hpke.MLKEM768X25519PrivateKey(ml_kem, ecdh), info=b"info")
    assert hmac.digest(opened, b"data", "sha256") == key.mac(b"data")
    ours = unsealed(custody, "X-Wing")
    again = ours.open_mac_key(b"info", b"aad", key.seal_to(ours.public, b"info", b"aad"))
    assert again.mac(b"data") == key.mac(b"data")
    with pytest.raises(UnwrapError):
        ours.open_mac_key(b"info", b"aad", sealed)
    with pytest.raises(InputError, match="escrow"):
        unsealed(custody, "AES-KWP").open_mac_key(b"info", b"aad", sealed)
    with pytest.raises(KeyMaterialError, match="X-Wing"):
        key.seal_to(b"short", b"info", b"aad")


def test_wiped_custody_says_so() -> None:
    custody = Custody.create("dev", None)[0]
    record, _ = custody.generate("Ed25519", b"k")
    sealed_mac_key = custody.generate_mac_key(b"e")
    mac_key = custody.unseal_mac_key(sealed_mac_key, b"e")
    before = mac_key.mac(b"data")
    custody.wipe()
    assert mac_key.mac(b"data") == before
    for use in (
        lambda: custody.generate_mac_key(b"e"),
        lambda: custody.unseal_mac_key(sealed_mac_key, b"e"),
        lambda: custody.unseal(record, b"k"),
        lambda: custody.generate("Ed25519", b"k"),
        lambda: custody.mac("label", b""),
        lambda: custody.seal_secret(b"s", b"i"),
    ):
        with pytest.raises(SealError, match="wiped"):
            use()
    assert issubclass(SealError, NativeError)
