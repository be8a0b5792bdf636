"""Checkpoints on disk: the latest, and a history (docs/formats/checkpoint.md)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from ronkms.audit.history_thinning import Stamp, thinned
from ronkms.audit.note import MAX_NOTE, Note
from ronkms.errors import IntegrityError
from ronkms.journal.durable_file import (
    FILE_MODE,
    make_directory,
    replace_file,
    sync_directory,
    sync_file,
    write_at,
)

DIRECTORY: Final = "checkpoints"
LATEST: Final = "latest"
HISTORY: Final = "history"

_LENGTH: Final = re.compile(rb"([1-9][0-9]{0,5})\n")


class Kept(NamedTuple):
    """A note as it stands at ``offset`` of the history."""

    offset: int
    note: str


class CheckpointFiles:
    """The files under ``audit/checkpoints``. One process writes."""

    def __init__(self, directory: Path) -> None:
        """``directory``: of the log. Nothing is made before something is written."""
        self.directory = directory / DIRECTORY
        self._end: int | None = None

    def latest(self) -> str:
        """The newest note; empty if there is none. Raises IntegrityError, OSError."""
        try:
            return (self.directory / LATEST).read_bytes().decode()
        except FileNotFoundError:
            return ""
        except UnicodeDecodeError:
            raise IntegrityError("audit: checkpoints/latest is damaged") from None

    def replace_latest(self, note: Note) -> None:
        """Durable when it returns. Raises OSError."""
        make_directory(self.directory)
        replace_file(self.directory / LATEST, str(note).encode())

    def add_to_history(self, note: Note) -> None:
        """Durable when it returns; cuts off the torn end that a crash left.

        Raises IntegrityError, OSError."""
        make_directory(self.directory)
        path = self.directory / HISTORY
        fresh = not path.exists()
        if fresh or self._end is None:
            self._end = 0 if fresh else _whole_end(path)
        entry = str(note).encode()
        entry = b"%d\n%s" % (len(entry), entry)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            os.ftruncate(descriptor, self._end)
            write_at(descriptor, entry, self._end)
            sync_file(descriptor)
        finally:
            os.close(descriptor)
        self._end += len(entry)
        if fresh:
            sync_directory(self.directory)

    def thin_history(self, *, now: float, retention_days: float) -> int:
        """Drops what ``history_thinning`` does not keep; how many. Replaces the file as a whole.

        Raises IntegrityError: bytes that are no note; OSError."""
        path = self.directory / HISTORY
        temporary = path.with_name(f"{HISTORY}.tmp")
        try:
            with path.open("rb") as old, _private(temporary) as new:
                read = kept = 0

                def stamped() -> Iterator[tuple[bytes, Stamp]]:
                    nonlocal read
                    for entry in _entries(old):
                        read += 1
                        yield entry, Stamp.of(entry.partition(b"\n")[2].decode(errors="replace"))

                for entry in thinned(stamped(), now=now, retention_days=retention_days):
                    new.write(entry)
                    kept += 1
                if kept < read:
                    new.flush()
                    sync_file(new.fileno())
                    end = new.tell()
        except FileNotFoundError:
            return 0
        except (OSError, IntegrityError):
            temporary.unlink(missing_ok=True)
            raise
        if kept == read:
            temporary.unlink()
            return 0
        temporary.replace(path)
        self._end = end
        sync_directory(self.directory)
        return read - kept

    def history(self) -> list[Kept]:
        """All whole notes, oldest first. Raises IntegrityError: bytes that are no note; OSError."""
        try:
            data = (self.directory / HISTORY).read_bytes()
        except FileNotFoundError:
            return []
        kept = []
        offset = 0
        while offset < len(data):
            end = _end_of_note(data, offset)
            if end is None:
                break
            start = data.index(b"\n", offset) + 1
            try:
                kept.append(Kept(offset, data[start:end].decode()))
            except UnicodeDecodeError:
                raise IntegrityError(f"checkpoints/history: the note at byte {offset} is damaged") from None
            offset = end
        return kept


def _private(path: Path) -> BinaryIO:
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, FILE_MODE), "wb")


def _entries(file: BinaryIO) -> Iterator[bytes]:
    """Whole notes, each with its line of the length. A torn one ends them."""
    offset = 0
    while head := file.readline(7):
        length = _LENGTH.fullmatch(head)
        if length is None:
            if len(head) < 7 and head.isdigit():
                return
            raise IntegrityError(f"checkpoints/history: there is no note at byte {offset}")
        note = file.read(int(length[1]))
        if len(note) < int(length[1]):
            return
        offset += len(head) + len(note)
        yield head + note


def _end_of_note(data: bytes, offset: int) -> int | None:
    """Where the note at ``offset`` ends; None if it is cut short by the end of the data."""
    head = data[offset : offset + 7]
    length = _LENGTH.match(head)
    if length is None:
        if len(head) < 7 and (head.isdigit() or not head):
            return None
        raise IntegrityError(f"checkpoints/history: there is no note at byte {offset}")
    if int(length[1]) > MAX_NOTE:
        raise IntegrityError(f"checkpoints/history: the note at byte {offset} is too long")
    end = offset + length.end() + int(length[1])
    return end if end <= len(data) else None


def _whole_end(path: Path) -> int:
    data = path.read_bytes()
    offset = 0
    while offset < len(data) and (end := _end_of_note(data, offset)) is not None:
        offset = end
    return offset
