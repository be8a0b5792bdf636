"""Reads the two files of the local bus without a lock, also while they are written (docs/formats/bus.md)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ronkms.bus.event import Event, decode_event
from ronkms.bus.event_writer import CURRENT, PREVIOUS


class EventReader:
    """Gives each event once, over rotations, as long as it is in one of the two files."""

    def __init__(self, directory: Path) -> None:
        """Opens nothing yet; the directory may be without events."""
        self._current = directory / CURRENT
        self._previous = directory / PREVIOUS
        self._file: BinaryIO | None = None
        self._newest = 0

    def read(self) -> Iterator[Event]:
        """What was published since the last call, oldest first. Skips damaged lines. Raises OSError."""
        while True:
            if self._file is None:
                # The current file first: a rotation in between makes it the previous one, read below.
                self._file = _open(self._current)
                previous = _open(self._previous)
                if previous is not None:
                    with previous:
                        yield from self._events(previous)
            if self._file is None:
                return
            yield from self._events(self._file)
            if self._in_place(self._file):
                return
            self.close()

    def _events(self, file: BinaryIO) -> Iterator[Event]:
        while line := file.readline():
            if not line.endswith(b"\n"):
                file.seek(-len(line), os.SEEK_CUR)
                return
            event = decode_event(line)
            if event is not None and event.seq > self._newest:
                self._newest = event.seq
                yield event

    def _in_place(self, file: BinaryIO) -> bool:
        try:
            return os.path.samestat(self._current.stat(), os.fstat(file.fileno()))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Closes what is open; the next ``read`` goes on behind the last event."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None
