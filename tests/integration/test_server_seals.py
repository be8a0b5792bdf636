"""The seals of a server that is not a development server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.server_process import NotReadyError, ServerProcess


def _secret(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def _server(directory: Path, seal: str, secret: Path) -> ServerProcess:
    setting = "KMS_SEAL_KEYFILE" if seal == "keyfile" else "KMS_SEAL_PASSPHRASE_FILE"
    return ServerProcess(directory / "data", {"KMS_SEAL": seal, setting: str(secret)}, args=())


SEALS = [
    ("keyfile", os.urandom(32), os.urandom(32)),
    ("passphrase", b"correct horse battery\n", b"wrong horse battery\n"),
]


@pytest.mark.parametrize(("seal", "right", "wrong"), SEALS)
def test_opens_again_with_the_same_secret_alone(
    tmp_path: Path, seal: str, right: bytes, wrong: bytes
) -> None:
    secret = _secret(tmp_path / "secret", right)
    server = _server(tmp_path, seal, secret)
    for _ in range(2):
        with server:
            assert not (server.data_dir / "capability" / "admin.token").exists()
            assert server.stdout == []
    other = _server(tmp_path, seal, _secret(tmp_path / "other", wrong))
    with pytest.raises(NotReadyError, match="error: seal: "):
        other.start()
    assert right.strip().decode("latin-1") not in other.output()


def test_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    secret = _secret(tmp_path / "secret", os.urandom(32))
    secret.chmod(0o644)
    server = _server(tmp_path, "keyfile", secret)
    with pytest.raises(NotReadyError, match=r"error: seal: .*chmod"):
        server.start()


def test_missing_secret_is_named(tmp_path: Path) -> None:
    server = _server(tmp_path, "keyfile", tmp_path / "nowhere")
    with pytest.raises(NotReadyError, match=r"error: seal: .*nowhere"):
        server.start()
