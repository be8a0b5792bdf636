"""The data directory: made private, refused when others can enter it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from ronkms.errors import StartError

SUBDIRECTORIES: Final = ("keystore", "audit", "bus", "capability", "usage")


def prepare_data_directory(path: Path) -> Path:
    """Makes ``path`` and its parts with mode 0700 where they are missing. Returns ``path``.

    Raises :class:`StartError`: it cannot be made, belongs to another user, or is open to others.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for directory in (path, *(path / name for name in SUBDIRECTORIES)):
            directory.mkdir(mode=0o700, exist_ok=True)
            _require_private(directory)
    except OSError as error:
        raise StartError(f"data_dir: cannot use {path}: {error.strerror}: {error.filename}") from None
    return path


def _require_private(directory: Path) -> None:
    status = directory.stat()
    if status.st_uid != os.geteuid():
        raise StartError(f"data_dir: {directory} belongs to another user; chown it to uid {os.geteuid()}")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise StartError(f"data_dir: {directory} is open to others; run chmod 700 {directory}")
