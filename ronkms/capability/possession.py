"""Proof that whoever presents a bound token holds the private key of its client certificate, where no TLS
connection shows it (docs/formats/capability.md, "Proof of possession"). No I/O.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from ronkms.errors import BadRequest, Denied

PREFIX: Final = "rkp1."
MAX_VALID_SECONDS: Final = 24 * 3600
MAX_PROOF: Final = 1 << 15
"""Longest proof, in characters."""

_LABEL: Final = b"ron-kms possession v1\x00"
_PSS: Final = padding.PSS(padding.MGF1(SHA256()), SHA256.digest_size)
_ECDSA: Final = ec.ECDSA(SHA256())


class _Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: str
    certificate: bytes
    until: int
    signature: bytes


class Presented(NamedTuple):
    """A token, and the SHA-256 (hex) of the client certificate whose key its bearer holds; empty: unknown."""

    token: str
    client_cert: str


def prove(token: str, *, statement: bytes, until: int, certificate: bytes, key: bytes) -> str:
    """A proof for ``token`` and ``statement`` alone, good until ``until`` (Unix seconds).

    ``certificate`` (its first one counts) and ``key``: PEM, unencrypted; Ed25519, EC or RSA. Raises
    BadRequest."""
    try:
        leaf = x509.load_pem_x509_certificates(certificate)[0]
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise BadRequest("the client certificate and its key must be PEM, the key not encrypted") from None
    if private.public_key() != leaf.public_key():
        raise BadRequest("the key is not that of the client certificate")
    der = leaf.public_bytes(Encoding.DER)
    message = _message(token, der, until, statement)
    match private:
        case ed25519.Ed25519PrivateKey():
            signature = private.sign(message)
        case ec.EllipticCurvePrivateKey():
            signature = private.sign(message, _ECDSA)
        case rsa.RSAPrivateKey():
            signature = private.sign(message, _PSS, SHA256())
        case _:
            raise BadRequest("the key of the client certificate must be Ed25519, EC or RSA")
    encoded = msgspec.json.encode(_Proof(token, der, until, signature))
    return PREFIX + base64.urlsafe_b64encode(encoded).decode()


def presented(text: str, *, statement: bytes, now: int) -> Presented:
    """``text``: a token, or a proof for ``statement``.

    Raises BadRequest: malformed; Denied: it proves nothing at ``now`` (Unix seconds)."""
    if not text.startswith(PREFIX):
        return Presented(text, "")
    try:
        proof = msgspec.json.decode(base64.b64decode(text[len(PREFIX) :], b"-_", validate=True), type=_Proof)
        leaf = x509.load_der_x509_certificate(proof.certificate)
        public = leaf.public_key()
        begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    except (ValueError, binascii.Error, msgspec.MsgspecError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise BadRequest("the proof of possession is malformed or cut") from None
    if not now < proof.until <= now + MAX_VALID_SECONDS:
        raise Denied("the proof of possession has ended, or is good for longer than a day")
    if not begins <= datetime.fromtimestamp(now, UTC) <= ends:
        raise Denied("the client certificate of the proof of possession is not valid now")
    _verify(public, proof.signature, _message(proof.token, proof.certificate, proof.until, statement))
    return Presented(proof.token, hashlib.sha256(proof.certificate).hexdigest())


def token_of(text: str) -> str:
    """The token that ``text``, a token or a proof, claims to be about; empty if it is malformed."""
    if not text.startswith(PREFIX):
        return text
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text[len(PREFIX) :]), type=_Proof).token
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        return ""


def _message(token: str, certificate: bytes, until: int, statement: bytes) -> bytes:
    hashes = hashlib.sha256(token.encode()).digest() + hashlib.sha256(certificate).digest()
    return _LABEL + hashes + until.to_bytes(8, "big", signed=True) + statement


def _verify(public: object, signature: bytes, message: bytes) -> None:
    try:
        match public:
            case ed25519.Ed25519PublicKey():
                public.verify(signature, message)
            case ec.EllipticCurvePublicKey():
                public.verify(signature, message, _ECDSA)
            case rsa.RSAPublicKey():
                public.verify(signature, message, _PSS, SHA256())
            case _:
                raise Denied("the key of the client certificate must be Ed25519, EC or RSA")
    except InvalidSignature:
        raise Denied("the proof of possession is not for just this request") from None
