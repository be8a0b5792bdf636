"""Writes that are on disk when they return: fsync of the file and of its directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700


class SyncError(OSError):
    """An fsync failed: what the disk holds is unknown, and a second fsync must not be trusted."""


def make_directory(directory: Path) -> None:
    """Makes the directory (mode 0700) if it is missing, durably. Its parent must exist. Raises OSError."""
    try:
        directory.mkdir(mode=DIRECTORY_MODE)
    except FileExistsError:
        return
    sync_directory(directory.parent)


def sync_file(descriptor: int) -> None:
    """Makes the content of an open file durable. Raises SyncError."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise SyncError(error.errno, error.strerror) from error


def sync_directory(directory: Path) -> None:
    """Makes creations, renames and removals in ``directory`` durable. Raises SyncError, OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Writes all of ``data`` at ``offset``; the kernel may take it in parts. Raises OSError."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest = rest[written:]
        offset += written


def write_new(path: Path, data: bytes) -> None:
    """A new file with ``data``, fsynced; its name is durable only after ``sync_directory``.

    Removes the file again when it cannot be written. Raises OSError, FileExistsError.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        write_at(descriptor, data, 0)
        sync_file(descriptor)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Replaces the file at ``path`` as a whole, by way of ``<path>.tmp``. One writer at a time.

    On an error before the rename the old content stays. Raises OSError.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    write_new(temporary, data)
    temporary.replace(path)
    sync_directory(path.parent)
