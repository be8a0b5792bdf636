"""Copies of ended segments in another directory (docs/formats/audit-archive.md)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ronkms.audit.finding import Finding
from ronkms.audit.segments import list_segments
from ronkms.errors import IntegrityError
from ronkms.journal.durable_file import make_directory, replace_file, sync_directory, sync_file, write_at

ORIGIN_FILE: Final = "origin"
_COPY_MODE: Final = 0o400
_PARTIAL: Final = ".partial"
_CHUNK: Final = 1 << 20
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Archive:
    """Of one log. One process writes."""

    def __init__(self, directory: Path, origin: str) -> None:
        """Nothing is made before the first :meth:`store`."""
        self.directory = directory
        self._origin = origin

    def has(self, name: str) -> bool:
        """Whether there is a copy of that name. It was whole when it got it; see :meth:`equals`."""
        return (self.directory / name).exists()

    def store(self, source: Path) -> None:
        """Copies a file; durable when it returns. One that is there already must have the same bytes.

        Raises IntegrityError: other bytes, or the archive of another log; OSError."""
        self._open()
        target = self.directory / source.name
        if target.exists():
            self.require_equal(source)
            return
        partial = target.with_name(target.name + _PARTIAL)
        partial.unlink(missing_ok=True)
        _copy(source, partial)
        partial.rename(target)
        sync_directory(self.directory)

    def require_equal(self, source: Path) -> None:
        """The copy is another file with the bytes of ``source``. Raises IntegrityError, OSError."""
        if source.samefile(self.directory / source.name):
            raise IntegrityError(f"{self.directory} is the directory of the log itself: it is no archive")
        if not same_bytes(source, self.directory / source.name):
            raise IntegrityError(f"{self.directory / source.name} has other bytes than {source}")

    def _open(self) -> None:
        make_directory(self.directory)
        path = self.directory / ORIGIN_FILE
        try:
            found = path.read_text("utf-8")
        except FileNotFoundError:
            replace_file(path, f"{self._origin}\n".encode())
            return
        if found != f"{self._origin}\n":
            raise IntegrityError(
                f"{self.directory} is the archive of {found.strip()[:60] or 'nothing'}, not of {self._origin}"
            )


def same_bytes(one: Path, other: Path) -> bool:
    """Whether both files have the same content. Raises OSError."""
    with one.open("rb") as first, other.open("rb") as second:
        while True:
            chunk = first.read(_CHUNK)
            if chunk != second.read(_CHUNK):
                return False
            if not chunk:
                return True


def _copy(source: Path, target: Path) -> None:
    descriptor = os.open(target, _NEW, _COPY_MODE)
    try:
        offset = 0
        with source.open("rb") as file:
            while chunk := file.read(_CHUNK):
                write_at(descriptor, chunk, offset)
                offset += len(chunk)
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def differing_copies(directory: Path, archive: Path) -> list[Finding]:
    """Segments of a log whose copies in its archive have other bytes. Raises OSError."""
    found = []
    for segment in list_segments(directory):
        copy = archive / segment.path.name
        try:
            differs = copy.exists() and not same_bytes(segment.path, copy)
        except FileNotFoundError:  # it has left meanwhile
            continue
        if differs:
            found.append(Finding(segment.path.name, f"has other bytes in the log than in {archive}"))
    return found
