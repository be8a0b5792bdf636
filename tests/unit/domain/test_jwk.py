"""JSON Web Keys: round trips, the RFCs' thumbprints, and a table of what must be refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from ronkms.domain.algorithm import ALGORITHMS
from ronkms.domain.jwk import jwk_from_public, public_from_jwk, thumbprint
from ronkms.domain.spki import RAW_SIZES
from ronkms.errors import BadRequest


def b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def der(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


RSA_KEYS = {bits: rsa.generate_private_key(65537, bits).public_key() for bits in (1024, 2048, 4096)}
PUBLIC = {
    "Ed25519": ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw(),
    "ES256": der(ec.generate_private_key(ec.SECP256R1()).public_key()),
    "ES384": der(ec.generate_private_key(ec.SECP384R1()).public_key()),
    "PS256": der(RSA_KEYS[2048]),
    "ML-DSA-44": mldsa.MLDSA44PrivateKey.generate().public_key().public_bytes_raw(),
    "ML-DSA-65": mldsa.MLDSA65PrivateKey.generate().public_key().public_bytes_raw(),
    "ML-DSA-87": mldsa.MLDSA87PrivateKey.generate().public_key().public_bytes_raw(),
    "MLDSA44-Ed25519-SHA512": bytes(range(168)) * 8,
    "MLDSA65-Ed25519-SHA512": bytes(range(248)) * 8,
    "MLDSA65-ECDSA-P256-SHA512": bytes(2017),
    "MLDSA87-ECDSA-P384-SHA512": bytes(2689),
    "X-Wing": bytes(range(152)) * 8,
}


def test_every_asymmetric_algorithm_is_covered() -> None:
    assert PUBLIC.keys() == {name for name, row in ALGORITHMS.items() if row.asymmetric}


@pytest.mark.parametrize("alg", PUBLIC)
def test_round_trip(alg: str) -> None:
    jwk = jwk_from_public(alg, PUBLIC[alg], key_id="orders", key_version=3)
    assert jwk["kty"] == ALGORITHMS[alg].kty
    assert (jwk["alg"], jwk["key_id"], jwk["key_version"]) == (alg, "orders", 3)
    assert jwk["kid"] == thumbprint(jwk)
    assert public_from_jwk(jwk) == (alg, PUBLIC[alg])


def test_key_id_and_version_only_where_given() -> None:
    jwk = jwk_from_public("Ed25519", PUBLIC["Ed25519"])
    assert jwk.keys() == {"kty", "crv", "x", "alg", "use", "kid"}


@pytest.mark.parametrize("alg", ["Ed25519", "ES256", "ES384", "PS256"])
def test_alg_is_optional_where_the_key_type_says_it(alg: str) -> None:
    jwk = jwk_from_public(alg, PUBLIC[alg])
    del jwk["alg"]
    assert public_from_jwk(jwk) == (alg, PUBLIC[alg])


def test_eddsa_is_the_old_name_of_ed25519() -> None:
    jwk = jwk_from_public("Ed25519", PUBLIC["Ed25519"]) | {"alg": "EdDSA"}
    assert public_from_jwk(jwk) == ("Ed25519", PUBLIC["Ed25519"])


@pytest.mark.parametrize("alg", ["AES-256-GCM", "AES-KWP"])
def test_secret_keys_are_never_published(alg: str) -> None:
    with pytest.raises(BadRequest):
        jwk_from_public(alg, b"")


# --- thumbprints of the RFCs -----------------------------------------------------------------------

RFC7638_N = (
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZ"
    "CiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJ"
    "ZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBn"
    "iIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
)


def test_thumbprint_of_rfc_7638() -> None:
    jwk = {"kty": "RSA", "n": RFC7638_N, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_thumbprint_of_rfc_8037() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    jwk = jwk_from_public("Ed25519", public)
    assert jwk["x"] == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert jwk["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_thumbprint_of_rfc_9964() -> None:
    """The all-zeros ML-DSA-44 key of the RFC's appendix."""
    public = mldsa.MLDSA44PrivateKey.from_seed_bytes(bytes(32)).public_key().public_bytes_raw()
    assert jwk_from_public("ML-DSA-44", public)["kid"] == "T4xl70S7MT6Zeq6r9V9fPJGVn76wfnXJ21-gyo0Gu6o"


@pytest.mark.parametrize("jwk", [{}, {"kty": "oct", "k": "AA"}, {"kty": "OKP", "crv": "Ed25519"}, {"kty": 1}])
def test_thumbprint_needs_its_members(jwk: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        thumbprint(jwk)


# --- what must be refused --------------------------------------------------------------------------


def base(alg: str) -> dict[str, Any]:
    return jwk_from_public(alg, PUBLIC[alg])


def uint(number: int) -> str:
    return b64u(number.to_bytes((number.bit_length() + 7) // 8, "big"))


RSA_N = RSA_KEYS[2048].public_numbers().n
P256_Y = base64.urlsafe_b64decode(base("ES256")["y"] + "=")

REFUSED: dict[str, tuple[str, dict[str, Any], str | None]] = {
    # name: (algorithm, members to change (None removes), pointer of the error)
    "no kty": ("Ed25519", {"kty": None}, "/kty"),
    "kty number": ("Ed25519", {"kty": 7}, "/kty"),
    "kty oct": ("Ed25519", {"kty": "oct"}, "/kty"),
    "kty lower case": ("ES256", {"kty": "ec"}, "/kty"),
    "okp x25519": ("Ed25519", {"crv": "X25519"}, "/crv"),
    "okp no crv": ("Ed25519", {"crv": None}, "/crv"),
    "okp ed448": ("Ed25519", {"crv": "Ed448"}, "/crv"),
    "okp alg": ("Ed25519", {"alg": "ES256"}, "/alg"),
    "okp alg null": ("Ed25519", {"alg": 0}, "/alg"),
    "okp x missing": ("Ed25519", {"x": None}, "/x"),
    "okp x short": ("Ed25519", {"x": b64u(bytes(31))}, "/x"),
    "okp x long": ("Ed25519", {"x": b64u(bytes(33))}, "/x"),
    "okp x padded": ("Ed25519", {"x": b64u(bytes(32)) + "="}, "/x"),
    "okp x standard alphabet": ("Ed25519", {"x": "+/" + "A" * 41}, "/x"),
    "okp x stray bits": ("Ed25519", {"x": "A" * 42 + "B"}, "/x"),
    "okp x newline": ("Ed25519", {"x": "A" * 42 + "\n"}, "/x"),
    "okp x not ascii": ("Ed25519", {"x": "A" * 42 + "é"}, "/x"),
    "okp x list": ("Ed25519", {"x": [1]}, "/x"),
    "ec p-521": ("ES256", {"crv": "P-521"}, "/crv"),
    "ec secp256k1": ("ES256", {"crv": "secp256k1"}, "/crv"),
    "ec alg of other curve": ("ES256", {"alg": "ES384"}, "/alg"),
    "ec crv of other size": ("ES256", {"crv": "P-384", "alg": None}, "/x"),
    "ec y missing": ("ES256", {"y": None}, "/y"),
    "ec off curve": ("ES256", {"y": b64u(P256_Y[:-1] + bytes([P256_Y[-1] ^ 1]))}, "/x"),
    "ec infinity": ("ES256", {"x": b64u(bytes(32)), "y": b64u(bytes(32))}, "/x"),
    "ec x at least p": ("ES256", {"x": b64u(b"\xff" * 32)}, "/x"),
    "ec x unpadded number": ("ES256", {"x": b64u(b"\x01")}, "/x"),
    "rsa 1024": ("PS256", {"n": uint(RSA_KEYS[1024].public_numbers().n)}, "/n"),
    "rsa 2047": ("PS256", {"n": uint(RSA_N >> 1 | 1)}, "/n"),
    "rsa 4104": ("PS256", {"n": uint((1 << 4103) + 1)}, "/n"),
    "rsa leading zero": ("PS256", {"n": b64u(b"\0" + RSA_N.to_bytes(256, "big"))}, "/n"),
    "rsa n empty": ("PS256", {"n": ""}, "/n"),
    "rsa n even": ("PS256", {"n": uint(RSA_N - 1)}, "/n"),
    "rsa e 1": ("PS256", {"e": "AQ"}, "/e"),
    "rsa e 3": ("PS256", {"e": "Aw"}, "/e"),
    "rsa e 65535": ("PS256", {"e": uint(65535)}, "/e"),
    "rsa e even": ("PS256", {"e": uint(65536)}, "/e"),
    "rsa e huge": ("PS256", {"e": uint((1 << 64) + 1)}, "/e"),
    "rsa rs256": ("PS256", {"alg": "RS256"}, "/alg"),
    "rsa ps384": ("PS256", {"alg": "PS384"}, "/alg"),
    "akp no alg": ("ML-DSA-65", {"alg": None}, "/alg"),
    "akp alg of other size": ("ML-DSA-65", {"alg": "ML-DSA-44"}, "/pub"),
    "akp ed25519": ("ML-DSA-65", {"alg": "Ed25519"}, "/alg"),
    "akp slh-dsa": ("ML-DSA-65", {"alg": "SLH-DSA-SHA2-128s"}, "/alg"),
    "akp pub short": ("ML-DSA-65", {"pub": b64u(bytes(1951))}, "/pub"),
    "composite without its second half": ("MLDSA65-Ed25519-SHA512", {"pub": b64u(bytes(1952))}, "/pub"),
    "private d": ("Ed25519", {"d": b64u(bytes(32))}, None),
    "private p": ("PS256", {"p": "AQAB"}, None),
    "private oth": ("PS256", {"oth": []}, None),
    "private k": ("Ed25519", {"k": "AA"}, None),
    "private priv": ("ML-DSA-65", {"priv": b64u(bytes(32))}, None),
    "private even if empty": ("Ed25519", {"d": ""}, None),
    "use enc": ("Ed25519", {"use": "enc"}, "/use"),
    "use number": ("Ed25519", {"use": 1}, "/use"),
    "key_ops sign": ("Ed25519", {"key_ops": ["sign"]}, "/key_ops"),
    "key_ops text": ("Ed25519", {"key_ops": "verify"}, "/key_ops"),
    "x-wing for signatures": ("X-Wing", {"use": "sig"}, "/use"),
    "too many members": ("Ed25519", {f"m{number}": 0 for number in range(32)}, None),
    "too big": ("Ed25519", {"x5c": ["A" * 40_000]}, None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    alg, changes, pointer = REFUSED[name]
    jwk = {member: value for member, value in (base(alg) | changes).items() if value is not None}
    with pytest.raises(BadRequest) as caught:
        public_from_jwk(jwk)
    assert caught.value.field == pointer


def test_private_members_do_not_appear_in_the_message() -> None:
    secret = b64u(b"\xaa" * 32)
    with pytest.raises(BadRequest) as caught:
        public_from_jwk(base("Ed25519") | {"d": secret})
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "extra",
    [
        {"kid": "a"},
        {"x5c": ["MIIB"], "x5t#S256": "AA"},
        {"key_ops": ["verify"]},
        {"ext": True},
        {"key_id": "a", "key_version": 2},
        {"unknown": {"deep": [1, 2, None]}},
    ],
)
def test_members_that_say_nothing_about_the_key_are_ignored(extra: dict[str, object]) -> None:
    assert public_from_jwk(base("Ed25519") | extra) == ("Ed25519", PUBLIC["Ed25519"])


@pytest.mark.parametrize("bits", [2048, 4096])
def test_rsa_sizes(bits: int) -> None:
    public = der(RSA_KEYS[bits])
    assert public_from_jwk(jwk_from_public("PS256", public)) == ("PS256", public)


@given(st.sampled_from(sorted(set(RAW_SIZES) - {"Ed25519"})), st.randoms(use_true_random=False))
def test_any_raw_bytes_of_the_right_size_round_trip(alg: str, random: Any) -> None:
    public = random.randbytes(RAW_SIZES[alg])
    assert public_from_jwk(jwk_from_public(alg, public)) == (alg, public)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "pub", "use", "key_ops", "d"]), json_values
    ),
    st.sampled_from([None, "OKP", "EC", "RSA", "AKP"]),
)
def test_anything_else_is_a_bad_request(jwk: dict[str, Any], kty: str | None) -> None:
    if kty is not None:
        jwk["kty"] = kty
    with pytest.raises(BadRequest):
        public_from_jwk(jwk)
