"""Which of the TLS files is told to be the one that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from ronkms.config import Settings
from ronkms.errors import StartError
from ronkms.server.tls import TlsContext
from tests.integration.certificates import Authority, Pair


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Authority(tmp_path).issue("server")


def _refused(pair: Pair, client_ca: str = "") -> str:
    with pytest.raises(StartError) as caught:
        TlsContext(Settings(tls_cert=str(pair.cert), tls_key=str(pair.key), tls_client_ca=client_ca))
    return str(caught.value)


def test_files_that_are_not_there(pair: Pair, tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    assert _refused(pair, str(missing)) == f"tls_client_ca: cannot read {missing}: No such file or directory"
    pair.key.unlink()
    assert _refused(pair).startswith(f"tls_key: cannot read {pair.key}: ")
    pair.cert.unlink()
    assert _refused(pair).startswith(f"tls_cert: cannot read {pair.cert}: ")


def test_files_that_hold_something_else(pair: Pair, tmp_path: Path) -> None:
    assert _refused(pair, str(pair.key)).startswith(f"tls_client_ca: {pair.key} holds no certificate")
    key = pair.key.read_bytes()
    pair.key.write_bytes(pair.cert.read_bytes())
    assert _refused(pair).startswith(f"tls_key: {pair.key} holds no private key")
    pair.key.write_bytes(key)
    pair.cert.write_bytes(key)
    assert _refused(pair).startswith(f"tls_cert: {pair.cert} holds no certificate")


def test_a_key_of_another_certificate(pair: Pair, tmp_path: Path) -> None:
    pair.key.write_bytes(Authority(tmp_path / "other").issue("other").key.read_bytes())
    assert _refused(pair).startswith(f"tls_key: {pair.key} is not the key of the certificate in {pair.cert}")


def test_an_encrypted_key_is_refused_without_asking(pair: Pair) -> None:
    key = load_pem_private_key(pair.key.read_bytes(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))
    pair.key.write_bytes(encrypted)
    assert _refused(pair).endswith("holds no private key in PEM that can be used without a passphrase")
