"""Custody: seals, secret files, and what survives a fork."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ronkms_native import Custody, InputError, SealError


def secret_file(path: Path, content: bytes, mode: int = 0o600) -> str:
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def test_passphrase(tmp_path: Path) -> None:
    phrase = secret_file(tmp_path / "phrase", b"correct horse battery\nnot this line\n")
    custody, seal = Custody.create("passphrase", phrase)
    record, public = custody.generate("Ed25519", b"k")
    same = secret_file(tmp_path / "same", b"correct horse battery\r\n")
    assert Custody.open(seal, "passphrase", same).unseal(record, b"k").public == public
    wrong = secret_file(tmp_path / "wrong", b"correct horse batterz\n")
    with pytest.raises(SealError, match="wrong passphrase"):
        Custody.open(seal, "passphrase", wrong)


def test_keyfile_reseal_and_kinds(tmp_path: Path) -> None:
    keyfile = secret_file(tmp_path / "key", os.urandom(32))
    custody, seal = Custody.create("keyfile", keyfile)
    record, public = custody.generate("ML-DSA-44", b"k")
    resealed = Custody.open(seal, "keyfile", keyfile).reseal("dev", None)
    assert Custody.open(resealed, "dev", None).unseal(record, b"k").public == public
    with pytest.raises(SealError, match="sealed with 'keyfile'"):
        Custody.open(seal, "dev", None)
    with pytest.raises(InputError):
        Custody.open(seal, "tpm", None)
    with pytest.raises(InputError, match="path"):
        Custody.open(seal, "keyfile", None)


def test_secret_files_must_be_private_and_long_enough(tmp_path: Path) -> None:
    for mode in (0o640, 0o604, 0o660, 0o602):
        path = secret_file(tmp_path / f"mode{mode:o}", os.urandom(32), mode)
        with pytest.raises(SealError, match="chmod 600") as raised:
            Custody.create("keyfile", path)
        assert path in str(raised.value)
    with pytest.raises(SealError, match="too short"):
        Custody.create("keyfile", secret_file(tmp_path / "short", bytes(31)))
    with pytest.raises(SealError, match="too short"):
        Custody.create("passphrase", secret_file(tmp_path / "line", b"elevenbytes\nanother line"))
    with pytest.raises(SealError, match="cannot read"):
        Custody.create("keyfile", str(tmp_path / "absent"))


def test_systemd_credentials_may_be_group_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = secret_file(tmp_path / "credential", os.urandom(32), 0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert Custody.create("keyfile", path)
    path = secret_file(tmp_path / "open", os.urandom(32), 0o444)
    with pytest.raises(SealError):
        Custody.create("keyfile", path)


def test_every_changed_byte_of_a_seal_is_noticed(tmp_path: Path) -> None:
    keyfile = secret_file(tmp_path / "key", os.urandom(32))
    _, seal = Custody.create("keyfile", keyfile)
    for index in range(len(seal)):
        changed = seal[:index] + bytes([seal[index] ^ 0x80]) + seal[index + 1 :]
        with pytest.raises(SealError):
            Custody.open(changed, "keyfile", keyfile)
    with pytest.raises(SealError, match="damaged"):
        Custody.open(seal[:-1], "keyfile", keyfile)


def test_a_child_keeps_the_root_and_loses_unsealed_keys() -> None:
    custody, _ = Custody.create("dev", None)
    record, public = custody.generate("ML-DSA-65", b"k")
    key = custody.unseal(record, b"k")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = b"child failed"
        try:
            custody.relock()
            try:
                key.sign(b"m")
            except SealError:
                again = custody.unseal(record, b"k")
                said = b"fine" if again.public == public and again.sign(b"m") else b"wrong key"
        finally:
            os.write(writer, said)
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"fine"
    os.waitpid(child, 0)
    assert key.sign(b"m")
