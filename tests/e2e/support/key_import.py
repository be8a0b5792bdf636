"""Wraps key material for ``POST /v1/kms/keys/import`` with ``cryptography``, as a caller would."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite

from tests.e2e.support.api_client import Answer, ApiClient
from tests.e2e.support.import_wrapping import RSA_OAEP_AES_KWP, import_body, rsa_oaep_aes_kwp

HPKE = "HPKE-X-Wing-HKDF-SHA256-AES-256-GCM"
HPKE_INFO = b"ron-kms import v1"
MLKEM768_PUBLIC = 1184
WRAPPING = ("AES-256-GCM", "AES-KWP", "X-Wing")


def wrap(mechanism: str, public_key: bytes, material: bytes) -> bytes:
    """``material`` wrapped to the one-time ``public_key`` of ``POST /v1/kms/keys/import/params``."""
    if mechanism == RSA_OAEP_AES_KWP:
        return rsa_oaep_aes_kwp(public_key, material)
    assert mechanism == HPKE
    suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    return suite.encrypt(material, x_wing_public_key(public_key), info=HPKE_INFO)


def x_wing_public_key(public: bytes) -> MLKEM768X25519PublicKey:
    """The HPKE recipient of a raw X-Wing public key (1216 bytes: ML-KEM-768, then X25519)."""
    return MLKEM768X25519PublicKey(
        mlkem.MLKEM768PublicKey.from_public_bytes(public[:MLKEM768_PUBLIC]),
        x25519.X25519PublicKey.from_public_bytes(public[MLKEM768_PUBLIC:]),
    )


def import_key(api: ApiClient, alg: str, material: bytes, *, key_id: str, mechanism: str = HPKE) -> Answer:
    """Asks for a one-time wrapping key and imports ``material`` under ``key_id``."""
    params = api.ok("/v1/kms/keys/import/params", {"mechanism": mechanism})
    wrapped = wrap(mechanism, base64.b64decode(params["public_key"]), material)
    usage = "wrap" if alg in WRAPPING else "sign"
    return api.post("/v1/kms/keys/import", import_body(params, wrapped, alg=alg, usage=usage, key_id=key_id))
