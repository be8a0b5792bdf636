"""Public keys as JSON Web Keys (RFC 7517).

``OKP`` for Ed25519 (RFC 8037), ``EC`` for P-256 and P-384 and ``RSA`` (RFC 7518 section 6), ``AKP`` for
ML-DSA (RFC 9964) and, with the same members, for the composites and X-Wing. Parsing is strict: exact
lengths, base64url without padding or stray bits, points on the curve, and no private member ever.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurve,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from ronkms.domain.spki import RAW_SIZES, pem_from_public
from ronkms.errors import BadRequest

__all__ = ["jwk_from_public", "pem_from_public", "public_from_jwk", "thumbprint"]

MAX_MEMBERS: Final = 32
MAX_BYTES: Final = 16 * 1024
"""Of the JWK as compact JSON; room for a certificate chain (``x5c``), which is ignored."""

PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv", "seed"})
"""RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1, RFC 8037, RFC 9964; ``seed`` of AKP drafts."""

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 4096
MIN_RSA_EXPONENT: Final = 2**16 + 1
"""FIPS 186-5 section 5.1: an odd exponent above 2^16."""
MAX_RSA_EXPONENT_BYTES: Final = 8

_CURVES: Final[Mapping[str, tuple[str, EllipticCurve, int]]] = MappingProxyType(
    {"P-256": ("ES256", SECP256R1(), 32), "P-384": ("ES384", SECP384R1(), 48)}
)
_ED25519_ALGS: Final = frozenset({"Ed25519", "EdDSA"})
"""RFC 9864 and, before it, RFC 8037."""

_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "OKP": ("crv", "kty", "x"),
        "EC": ("crv", "kty", "x", "y"),
        "RSA": ("e", "kty", "n"),
        "AKP": ("alg", "kty", "pub"),
    }
)
"""Members that a thumbprint covers (RFC 7638 section 3.2, RFC 8037 section 2, RFC 9964)."""

_WRAPPING: Final = frozenset({"X-Wing"})


def public_from_jwk(jwk: Mapping[str, object]) -> tuple[str, bytes]:
    """The algorithm and the public key of ``jwk``, in the encoding of ``ronkms_native``.

    Members that say nothing about the key (``kid``, ``x5c``, ``key_id``, unknown ones) are ignored, as RFC
    7517 section 4 asks. ``alg``, ``use`` and ``key_ops`` must fit the key where present.

    Raises :class:`BadRequest`, with a JSON pointer into the JWK, for anything that is not a public key
    of an algorithm that ron-kms has. Whether an Ed25519 point is canonical and of large order is
    checked by ``ronkms_native.PublicKey``.
    """
    _check_bounds(jwk)
    kty = _text(jwk, "kty")
    if kty == "OKP":
        alg, public = _from_okp(jwk)
    elif kty == "EC":
        alg, public = _from_ec(jwk)
    elif kty == "RSA":
        alg, public = _from_rsa(jwk)
    elif kty == "AKP":
        alg, public = _from_akp(jwk)
    else:
        raise BadRequest("kty must be one of OKP, EC, RSA, AKP", field="/kty")
    _check_purpose(jwk, alg)
    return alg, public


def jwk_from_public(
    alg: str, public: bytes, *, key_id: str | None = None, key_version: int | None = None
) -> dict[str, object]:
    """The JWK of a public key in the encoding of ``ronkms_native``.

    ``kid`` is the RFC 7638 SHA-256 thumbprint; ``key_id`` and ``key_version`` stand beside it where given.
    Raises :class:`BadRequest` for a secret key or an unknown algorithm.
    """
    jwk: dict[str, object]
    if alg == "Ed25519":
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": _encode(public)}
    elif alg in ("ES256", "ES384"):
        jwk = _ec_members(public)
    elif alg == "PS256":
        jwk = _rsa_members(public)
    elif alg in RAW_SIZES:
        jwk = {"kty": "AKP", "pub": _encode(public)}
    else:
        raise BadRequest(f"a key of algorithm {alg} has no public part")
    jwk["alg"] = alg
    jwk["use"] = "enc" if alg in _WRAPPING else "sig"
    jwk["kid"] = thumbprint(jwk)
    if key_id is not None:
        jwk["key_id"] = key_id
    if key_version is not None:
        jwk["key_version"] = key_version
    return jwk


def thumbprint(jwk: Mapping[str, object]) -> str:
    """RFC 7638 thumbprint: base64url without padding of SHA-256, 43 characters.

    Raises :class:`BadRequest` if a member that it covers is missing or not a string.
    """
    required = _REQUIRED.get(_text(jwk, "kty"))
    if required is None:
        raise BadRequest("kty must be one of OKP, EC, RSA, AKP", field="/kty")
    covered = {name: _text(jwk, name) for name in required}
    canonical = json.dumps(covered, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return _encode(hashlib.sha256(canonical.encode()).digest())


def _check_bounds(jwk: Mapping[str, object]) -> None:
    if not PRIVATE_MEMBERS.isdisjoint(jwk):
        raise BadRequest("public_key must hold no private or secret members; send the public half only")
    if len(jwk) > MAX_MEMBERS or len(msgspec.json.encode(jwk)) > MAX_BYTES:
        raise BadRequest(f"public_key must have at most {MAX_MEMBERS} members and {MAX_BYTES} bytes")


def _check_purpose(jwk: Mapping[str, object], alg: str) -> None:
    use, operations = ("enc", ()) if alg in _WRAPPING else ("sig", ("verify",))
    if jwk.get("use", use) != use:
        raise BadRequest(f"use must be {use} for {alg}", field="/use")
    if "key_ops" not in jwk or not operations:
        return
    key_ops = jwk["key_ops"]
    if not isinstance(key_ops, list) or not all(name in key_ops for name in operations):
        raise BadRequest(f"key_ops must be an array with {', '.join(operations)}", field="/key_ops")


def _from_okp(jwk: Mapping[str, object]) -> tuple[str, bytes]:
    if _text(jwk, "crv") != "Ed25519":
        raise BadRequest("crv must be Ed25519 for kty OKP", field="/crv")
    if "alg" in jwk and _text(jwk, "alg") not in _ED25519_ALGS:
        raise BadRequest("alg must be Ed25519 or EdDSA for crv Ed25519", field="/alg")
    return "Ed25519", _decode(jwk, "x", RAW_SIZES["Ed25519"])


def _from_ec(jwk: Mapping[str, object]) -> tuple[str, bytes]:
    row = _CURVES.get(_text(jwk, "crv"))
    if row is None:
        raise BadRequest(f"crv must be one of {', '.join(_CURVES)} for kty EC", field="/crv")
    alg, curve, size = row
    _check_alg(jwk, alg)
    x = int.from_bytes(_decode(jwk, "x", size), "big")
    y = int.from_bytes(_decode(jwk, "y", size), "big")
    try:
        key = EllipticCurvePublicNumbers(x, y, curve).public_key()
    except ValueError:
        raise BadRequest("x and y are not a point on the curve", field="/x") from None
    return alg, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _from_rsa(jwk: Mapping[str, object]) -> tuple[str, bytes]:
    _check_alg(jwk, "PS256")
    modulus = _decode_uint(jwk, "n", MAX_RSA_BITS // 8)
    exponent = _decode_uint(jwk, "e", MAX_RSA_EXPONENT_BYTES)
    if not MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS or modulus % 2 == 0:
        raise BadRequest(f"n must be odd and have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits", field="/n")
    if exponent < MIN_RSA_EXPONENT or exponent % 2 == 0:
        raise BadRequest(f"e must be odd and at least {MIN_RSA_EXPONENT}", field="/e")
    key = RSAPublicNumbers(exponent, modulus).public_key()
    return "PS256", key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _from_akp(jwk: Mapping[str, object]) -> tuple[str, bytes]:
    alg = _text(jwk, "alg")
    size = RAW_SIZES.get(alg)
    if size is None or alg == "Ed25519":
        names = ", ".join(name for name in RAW_SIZES if name != "Ed25519")
        raise BadRequest(f"alg must be one of {names} for kty AKP", field="/alg")
    return alg, _decode(jwk, "pub", size)


def _ec_members(public: bytes) -> dict[str, object]:
    key = load_der_public_key(public)
    if not isinstance(key, EllipticCurvePublicKey):
        raise TypeError("not an EC key")
    numbers = key.public_numbers()
    for crv, (_, curve, size) in _CURVES.items():
        if curve.name == key.curve.name:
            x, y = numbers.x.to_bytes(size, "big"), numbers.y.to_bytes(size, "big")
            return {"kty": "EC", "crv": crv, "x": _encode(x), "y": _encode(y)}
    raise TypeError(f"no JWK curve for {key.curve.name}")


def _rsa_members(public: bytes) -> dict[str, object]:
    key = load_der_public_key(public)
    if not isinstance(key, RSAPublicKey):
        raise TypeError("not an RSA key")
    numbers = key.public_numbers()
    return {"kty": "RSA", "n": _encode_uint(numbers.n), "e": _encode_uint(numbers.e)}


def _check_alg(jwk: Mapping[str, object], alg: str) -> None:
    if "alg" in jwk and _text(jwk, "alg") != alg:
        raise BadRequest(f"alg must be {alg} for this key", field="/alg")


def _text(jwk: Mapping[str, object], name: str) -> str:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise BadRequest(f"{name} must be present and a string", field=f"/{name}")
    return value


def _decode(jwk: Mapping[str, object], name: str, size: int) -> bytes:
    """``size`` bytes from base64url (RFC 7515 section 2: no padding, no line breaks)."""
    text = _text(jwk, name)
    decoded = _unpadded(text) if len(text) == -(-size * 4 // 3) else None
    if decoded is None:
        raise BadRequest(f"{name} must be {size} bytes as base64url without padding", field=f"/{name}")
    return decoded


def _decode_uint(jwk: Mapping[str, object], name: str, max_size: int) -> int:
    """Base64urlUInt (RFC 7518 section 2): big-endian in the fewest bytes."""
    text = _text(jwk, name)
    decoded = _unpadded(text) if 0 < len(text) <= -(-max_size * 4 // 3) else None
    if decoded is None or decoded[0] == 0:
        raise BadRequest(
            f"{name} must be a number of at most {max_size} bytes, base64url without padding or leading zero",
            field=f"/{name}",
        )
    return int.from_bytes(decoded, "big")


def _unpadded(text: str) -> bytes | None:
    """The bytes if ``text`` is their one base64url form, else None."""
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return decoded if _encode(decoded) == text else None


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _encode_uint(number: int) -> str:
    return _encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))
