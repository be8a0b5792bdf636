"""Wraps key material for ``POST /v1/kms/keys/import``, on the machine of the key's owner."""

from __future__ import annotations

import base64
import os
import re
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
    load_pem_private_key,
)

from ronkms.errors import BadRequest

MECHANISM: Final = "RSA-OAEP-3072-SHA256-AES-KWP"
MAX_FILE: Final = 1 << 16

_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)


def wrap_for_import(material: bytes, public_key: bytes) -> bytes:
    """RSA-OAEP(SHA-256, MGF1-SHA-256)(a fresh AES-256 key) || AES-KWP(material), RFC 8017 and 5649.

    ``public_key``: SubjectPublicKeyInfo DER, as the import params give it. Raises BadRequest."""
    wrapping_key = load_der_public_key(public_key)
    if not isinstance(wrapping_key, rsa.RSAPublicKey):
        raise BadRequest("the service gave an import key that is not RSA; use the ronctl of its version")
    key = os.urandom(32)
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    return wrapping_key.encrypt(key, oaep) + keywrap.aes_key_wrap_with_padding(key, material)


def key_material(content: bytes, passphrase: bytes | None = None) -> bytes:
    """What is imported, from a key file: PKCS#8 DER out of PEM; anything else (DER, raw) as it is.

    Encrypted PEM needs the passphrase. Raises BadRequest."""
    found = _PEM.search(content)
    if found is None:
        if passphrase is not None:
            raise BadRequest("a passphrase goes with encrypted PEM, and this file is not PEM")
        return content
    if found[1] == b"PRIVATE KEY":
        return base64.b64decode(found[2])
    try:
        key = load_pem_private_key(content, passphrase)
    except TypeError:
        raise BadRequest("the key file is encrypted: give --passphrase-file (or leave it out)") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadRequest("the key file does not open: wrong passphrase, or no PEM private key") from None
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
