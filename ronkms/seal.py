"""The seal file ``keystore/seal``: what protects the root key of a data directory.

Invariant: a seal is made only for a directory that holds no keys. Without its seal a keystore cannot be
opened, and a fresh root key beside old records would hide that.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ronkms_native import Custody, InputError, SealError

from ronkms.config.settings import Settings
from ronkms.errors import IntegrityError, StartError

SEAL_NAME: Final = "seal"
SEAL_LIMIT: Final = 65536


def open_custody(settings: Settings, keystore: Path) -> Custody:
    """The root key of ``keystore``, made on first use.

    Raises :class:`StartError`: wrong secret or unusable file; :class:`IntegrityError`: no seal beside keys.
    """
    path = keystore / SEAL_NAME
    try:
        content = _read(path)
        if content is not None:
            return Custody.open(content, settings.seal, settings.seal_secret_path)
        _require_empty(keystore)
        custody, content = Custody.create(settings.seal, settings.seal_secret_path)
        _write(path, content)
    except (SealError, InputError) as error:
        raise StartError(f"seal: {error}") from None
    except OSError as error:
        raise StartError(f"seal: cannot use {path}: {error.strerror}") from None
    return custody


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(SEAL_LIMIT)
    except FileNotFoundError:
        return None


def _require_empty(keystore: Path) -> None:
    for name in ("journal", "records"):
        if (keystore / name).exists():
            raise IntegrityError(
                f"seal: {keystore / SEAL_NAME} is missing beside existing keys; restore it from the backup"
            )


def _write(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
