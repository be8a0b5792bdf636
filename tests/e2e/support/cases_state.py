"""Conflicts with the state of keys, and imports that must not succeed."""

from __future__ import annotations

import base64
import os
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.e2e.support.bad_request_case import MESSAGE, Case, bad, refused, signing, verifying
from tests.e2e.support.bad_request_stage import Stage
from tests.e2e.support.import_wrapping import RSA_OAEP_AES_KWP, import_body, rsa_oaep_aes_kwp

KEYS = "/v1/kms/keys"
PARAMS = "/v1/kms/keys/import/params"
IMPORT = "/v1/kms/keys/import"


def _disabled(name: str, path: str, body: object) -> Case:
    return refused(name, 409, "key_disabled", path, body)


def _conflict(name: str, path: str, body: object) -> Case:
    return refused(name, 409, "conflict", path, body)


STATES = [
    _disabled("sign with a disabled key", "/v1/kms/sign", signing(key_id="off")),
    _disabled("verify with a disabled key", "/v1/kms/verify", verifying(key_id="off")),
    _disabled(
        "verify with a version of a disabled key", "/v1/kms/verify", verifying(key_id="off", key_version=1)
    ),
    _disabled("sign with a key to be destroyed", "/v1/kms/sign", signing(key_id="doomed")),
    _disabled("wrap with a disabled key", "/v1/kms/wrap", {"key_id": "off-gcm", "plaintext": MESSAGE}),
    _disabled("datakey of a disabled key", "/v1/kms/datakey", {"key_id": "off-gcm", "bytes": 32}),
    _disabled("rotate a disabled key", "/v1/kms/keys/rotate", {"key_id": "off"}),
    _disabled("rotate a key to be destroyed", "/v1/kms/rotate", {"key_id": "doomed"}),
    refused("sign with a used up version", 409, "key_exhausted", "/v1/kms/sign", signing(key_id="spent")),
    _conflict("enable a key to be destroyed", "/v1/kms/keys/doomed/enable", b""),
    _conflict("disable a disabled key in stages", "/v1/kms/keys/off/disable", {"percent": 10}),
    _conflict("restore an enabled key", "/v1/kms/keys/ed/restore", b""),
    _conflict("create twice", KEYS, {"alg": "Ed25519", "usage": "sign", "key_id": "ed"}),
    _conflict("create with another algorithm", KEYS, {"alg": "ES256", "usage": "sign", "key_id": "ed"}),
    _conflict("create over a disabled key", KEYS, {"alg": "Ed25519", "usage": "sign", "key_id": "off"}),
    _conflict(
        "create over a key to be destroyed", KEYS, {"alg": "Ed25519", "usage": "sign", "key_id": "doomed"}
    ),
]


def pkcs8(key: Any) -> bytes:
    """PKCS#8 DER, not encrypted."""
    encoded: bytes = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return encoded


def ask_params(stage: Stage, token: str = "admin") -> dict[str, Any]:
    """A fresh one-time wrapping key."""
    headers = {"Authorization": f"Bearer {stage.tokens[token]}"}
    answer = stage.client.post(
        PARAMS, json={"mechanism": RSA_OAEP_AES_KWP}, headers=headers
    ).raise_for_status()
    params: dict[str, Any] = answer.json()
    return params


def wrapped_for(params: dict[str, Any], material: bytes) -> bytes:
    return rsa_oaep_aes_kwp(base64.b64decode(params["public_key"]), material)


def _import(
    name: str,
    material: bytes,
    *,
    alg: str = "Ed25519",
    status: int = 400,
    code: str = "bad_request",
    **members: object,
) -> Case:
    """An import of ``material`` that unwraps, under fresh params."""

    def raw(stage: Stage) -> bytes:
        params = ask_params(stage)
        body = import_body(
            params,
            wrapped_for(params, material),
            **{"alg": alg, "usage": "sign", "key_id": "imported", **members},
        )
        return stage.ask(IMPORT, body)

    return Case(f"import: {name}", status, code, raw)


def _foreign_params(stage: Stage) -> bytes:
    params = ask_params(stage, "foreign")
    wrapped = wrapped_for(params, pkcs8(Ed25519PrivateKey.generate()))
    return stage.ask(IMPORT, import_body(params, wrapped, alg="Ed25519", usage="sign", key_id="imported"))


def _used_params(stage: Stage) -> bytes:
    """The first use fails on its material and still uses the params up."""
    params = ask_params(stage)
    wrapped = wrapped_for(params, b"no key at all")
    body = import_body(params, wrapped, alg="Ed25519", usage="sign", key_id="imported")
    first = stage.client.post(IMPORT, json=body, headers={"Authorization": f"Bearer {stage.tokens['admin']}"})
    assert first.status_code == 400, first.text
    wrapped = wrapped_for(params, pkcs8(Ed25519PrivateKey.generate()))
    return stage.ask(IMPORT, import_body(params, wrapped, alg="Ed25519", usage="sign", key_id="imported"))


def _junk(name: str, wrapped: bytes) -> Case:
    def raw(stage: Stage) -> bytes:
        body = import_body(ask_params(stage), wrapped, alg="Ed25519", usage="sign", key_id="imported")
        return stage.ask(IMPORT, body)

    return Case(f"import: {name}", 400, "bad_request", raw)


def _plain_import(name: str, status: int, code: str, import_id: object) -> Case:
    body = {
        "import_id": import_id,
        "wrapped_key": MESSAGE,
        "alg": "Ed25519",
        "usage": "sign",
        "key_id": "imported",
    }
    return refused(f"import: {name}", status, code, IMPORT, body)


_ED25519 = pkcs8(Ed25519PrivateKey.generate())
IMPORTS = [
    bad("import params of an unknown mechanism", PARAMS, {"mechanism": "RSA-PKCS1-v1_5"}),
    _plain_import("unknown params", 404, "not_found", "0" * 32),
    _plain_import("params of a traversal", 400, "bad_request", "../../seal"),
    _plain_import("params of a number", 400, "bad_request", 7),
    Case("import: foreign params", 404, "not_found", _foreign_params),
    Case("import: used params", 404, "not_found", _used_params),
    _junk("nothing wrapped", b""),
    _junk("junk of the right size", os.urandom(384 + 56)),
    _junk("RSA block alone", os.urandom(384)),
    _junk("one byte", b"\0"),
    _import("no key inside", os.urandom(48)),
    _import("empty PKCS#8", b"\x30\x00"),
    _import("raw seed where PKCS#8 is due", os.urandom(32)),
    _import("key of another algorithm", pkcs8(generate_private_key(SECP384R1())), alg="ES256"),
    _import("Ed25519 key as ML-DSA-65", _ED25519, alg="ML-DSA-65"),
    _import("trailing bytes", _ED25519 + b"\0"),
    _import("AES key of 31 bytes", os.urandom(31), alg="AES-256-GCM", usage="wrap"),
    _import("unknown alg", _ED25519, alg="Ed448"),
    _import("over an existing key", _ED25519, key_id="ed", status=409, code="conflict"),
    _import(
        "new version of a key that is not there", _ED25519, new_version=True, status=404, code="not_found"
    ),
    _import("new version of another algorithm", _ED25519, key_id="ec", new_version=True),
]

CASES = [*STATES, *IMPORTS]
