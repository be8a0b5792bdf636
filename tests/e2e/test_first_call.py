"""What the README's first call does, on a real server, with verifiers that share no code with ron-kms."""

from __future__ import annotations

import base64
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.composite_reference import COMPOSITES

MESSAGE = b"pay 10 EUR to Alice"
CONTEXT = b"payments"
OPENSSL = {
    "Ed25519": [
        "pkeyutl",
        "-verify",
        "-rawin",
        "-pubin",
        "-inkey",
        "pub.pem",
        "-sigfile",
        "sig",
        "-in",
        "msg",
    ],
    "ES256": ["dgst", "-sha256", "-verify", "pub.pem", "-signature", "sig", "msg"],
    "ES384": ["dgst", "-sha384", "-verify", "pub.pem", "-signature", "sig", "msg"],
    "PS256": [
        *("dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"),
        *("-verify", "pub.pem", "-signature", "sig", "msg"),
    ],
}


@dataclass(frozen=True)
class Signed:
    """A fresh key's signature of ``MESSAGE``, its exported public key in both forms."""

    signature: bytes
    pem: str
    jwk: dict[str, str]


def sign(api: ApiClient, alg: str, context: bytes = b"") -> Signed:
    created = api.ok("/v1/kms/keys", {"alg": alg, "usage": "sign"})
    key_id = created["key_id"]
    assert created["key_version"] == 1
    request: dict[str, object] = {"key_id": key_id, "message": base64.b64encode(MESSAGE).decode()}
    if context:
        request["context"] = base64.b64encode(context).decode()
    signed = api.ok("/v1/kms/sign", request)
    assert {name: signed[name] for name in ("alg", "key_id", "key_version")} == {
        "alg": alg,
        "key_id": key_id,
        "key_version": 1,
    }
    pem = api.get(f"/v1/kms/keys/{key_id}/public", accept="application/x-pem-file")
    assert (pem.status, pem.content_type) == (200, "application/x-pem-file")
    jwk = api.get(f"/v1/kms/keys/{key_id}/public")
    assert (jwk.status, jwk.body["alg"], jwk.body["key_id"]) == (200, alg, key_id)
    verified = api.ok("/v1/kms/verify", request | {"signature": signed["signature"]})
    assert verified["valid"] is True
    return Signed(base64.b64decode(signed["signature"]), pem.body, jwk.body)


@pytest.mark.parametrize("alg", OPENSSL)
def test_openssl_verifies(api: ApiClient, tmp_path: Path, alg: str) -> None:
    openssl = shutil.which("openssl")
    assert openssl is not None, "the openssl command is missing"
    signed = sign(api, alg)
    (tmp_path / "pub.pem").write_text(signed.pem)
    (tmp_path / "sig").write_bytes(signed.signature)
    (tmp_path / "msg").write_bytes(MESSAGE)
    command = [openssl, *OPENSSL[alg]]
    good = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert good.returncode == 0, good.stderr
    (tmp_path / "msg").write_bytes(MESSAGE + b"!")
    bad = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert bad.returncode != 0


MLDSA_KEYS: dict[str, Any] = {
    "ML-DSA-44": mldsa.MLDSA44PublicKey,
    "ML-DSA-65": mldsa.MLDSA65PublicKey,
    "ML-DSA-87": mldsa.MLDSA87PublicKey,
}


@pytest.mark.parametrize("alg", MLDSA_KEYS)
@pytest.mark.parametrize("context", [b"", CONTEXT], ids=["no context", "context"])
def test_cryptography_verifies_mldsa(api: ApiClient, alg: str, context: bytes) -> None:
    signed = sign(api, alg, context)
    key: Any = load_pem_public_key(signed.pem.encode())
    assert isinstance(key, MLDSA_KEYS[alg])
    key.verify(signed.signature, MESSAGE, context)
    with pytest.raises(InvalidSignature):
        key.verify(signed.signature, MESSAGE, context + b"!")


@pytest.mark.parametrize("alg", COMPOSITES)
@pytest.mark.parametrize("context", [b"", CONTEXT], ids=["no context", "context"])
def test_an_independent_composition_verifies_composites(api: ApiClient, alg: str, context: bytes) -> None:
    reference = COMPOSITES[alg]
    signed = sign(api, alg, context)
    public = base64.urlsafe_b64decode(signed.jwk["pub"] + "=" * (-len(signed.jwk["pub"]) % 4))
    assert reference.verify(public, MESSAGE, signed.signature, context) == (True, True)
    assert reference.verify(public, MESSAGE + b"!", signed.signature, context) == (False, False)
    assert public in base64.b64decode("".join(signed.pem.splitlines()[1:-1]))


def test_p1363_on_request(api: ApiClient) -> None:
    key_id = api.ok("/v1/kms/keys", {"alg": "ES384", "usage": "sign"})["key_id"]
    request = {"key_id": key_id, "message": base64.b64encode(MESSAGE).decode(), "signature_format": "p1363"}
    signature = api.ok("/v1/kms/sign", request)["signature"]
    assert len(base64.b64decode(signature)) == 96
    assert api.ok("/v1/kms/verify", request | {"signature": signature})["valid"] is True
    del request["signature_format"]
    assert api.ok("/v1/kms/verify", request | {"signature": signature})["valid"] is False
