"""Wraps key material for import, as a caller of ``POST /v1/kms/keys/import`` does it."""

from __future__ import annotations

import base64
import os
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

RSA_OAEP_AES_KWP = "RSA-OAEP-3072-SHA256-AES-KWP"


def rsa_oaep_aes_kwp(public: bytes, material: bytes, aes_key: bytes | None = None) -> bytes:
    """RSA-OAEP(SHA-256, MGF1-SHA-256, empty label)(AES-256 key) || AES-KWP(``material``).

    ``public`` is a SubjectPublicKeyInfo, DER or PEM.
    """
    key = load_pem_public_key(public) if public.startswith(b"-----") else load_der_public_key(public)
    if not isinstance(key, RSAPublicKey):
        raise TypeError("the wrapping key of this mechanism is an RSA key")
    aes_key = aes_key or os.urandom(32)
    return key.encrypt(aes_key, OAEP(MGF1(SHA256()), SHA256(), None)) + aes_key_wrap_with_padding(
        aes_key, material
    )


def import_body(params: dict[str, Any], wrapped: bytes, **members: object) -> dict[str, object]:
    """The body of an import under ``params``, the answer of ``/v1/kms/keys/import/params``."""
    return {"import_id": params["import_id"], "wrapped_key": base64.b64encode(wrapped).decode(), **members}
