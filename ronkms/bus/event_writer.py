"""Appends to the two files of the local bus, durably and within bounds (docs/formats/bus.md)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import structlog

from ronkms.bus.event import MAX_LINE, decode_event, encode_event, make_event
from ronkms.journal.durable_file import FILE_MODE, sync_directory, sync_file, write_at

CURRENT: Final = "kms.jsonl"
PREVIOUS: Final = "kms.jsonl.1"
ROTATE_BYTES: Final = 4 << 20

_log = structlog.get_logger("ronkms.bus")


class EventWriter:
    """Appends to the current file. The caller holds the lock of all writers."""

    def __init__(self, directory: Path) -> None:
        """Opens the files, makes them if need be. Raises OSError."""
        self._path = directory / CURRENT
        self._previous = directory / PREVIOUS
        self._descriptor = self._open()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, FILE_MODE)
        sync_directory(self._path.parent)
        return descriptor

    def append(self, event: str, fields: dict[str, str | int]) -> None:
        """On disk when it returns. Leaves nothing behind when it fails. Raises OSError, ValueError."""
        if not self._in_place():
            self.reopen()
        end = self._cut_torn_line()
        if end >= ROTATE_BYTES:
            self._path.rename(self._previous)
            self.reopen()
            end = 0
        line = encode_event(make_event(self._last_seq(end) + 1, time.time(), event, fields))
        try:
            write_at(self._descriptor, line, end)
            sync_file(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, end)
            raise

    def _in_place(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _cut_torn_line(self) -> int:
        """The file's length, after a line that a crash left incomplete was removed."""
        end = os.fstat(self._descriptor).st_size
        tail = os.pread(self._descriptor, MAX_LINE, max(0, end - MAX_LINE))
        if not tail or tail.endswith(b"\n"):
            return end
        torn = len(tail) - (tail.rfind(b"\n") + 1)
        os.ftruncate(self._descriptor, end - torn)
        _log.warning("bus_torn_event_cut", file=str(self._path), bytes=torn)
        return end - torn

    def _last_seq(self, end: int) -> int:
        """Number of the newest event: in this file, or else in the one before."""
        if end:
            tail = os.pread(self._descriptor, MAX_LINE, max(0, end - MAX_LINE))
            return _newest_seq(tail)
        try:
            with self._previous.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_LINE))
                return _newest_seq(file.read())
        except FileNotFoundError:
            return 0

    def reopen(self) -> None:
        """An own descriptor on what is there now. Raises OSError."""
        descriptor = self._open()
        self.close()
        self._descriptor = descriptor

    def close(self) -> None:
        """Closes the descriptor."""
        os.close(self._descriptor)


def _newest_seq(tail: bytes) -> int:
    for line in reversed(tail.splitlines()):
        event = decode_event(line)
        if event is not None:
            return event.seq
    return 0
