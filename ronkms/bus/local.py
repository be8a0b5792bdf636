"""The ``local`` bus: a bounded durable journal in the data directory, for one host."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import structlog

from ronkms.bus.event import Event
from ronkms.bus.event_reader import EventReader
from ronkms.bus.event_writer import CURRENT, EventWriter
from ronkms.errors import StartError
from ronkms.journal.durable_file import make_directory
from ronkms.journal.writer_lock import WriterLock

MIN_FREE_BYTES: Final = 1 << 20
FOLLOW_SECONDS: Final = 0.2

_log = structlog.get_logger("ronkms.bus")


class LocalBus:
    """Implements ``bus.protocol.Bus``. Never fails a request: what cannot be written is logged."""

    name = "local"

    def __init__(self, directory: Path) -> None:
        """Opens the directory, makes it (0700) if it is missing. Raises StartError."""
        self._directory = directory
        self._lost = 0
        try:
            make_directory(directory)
            self._lock = WriterLock(directory / "lock")
            self._writer = EventWriter(directory)
        except OSError as error:
            raise StartError(f"the bus cannot use {error.filename or directory}: {error.strerror}") from error

    def publish(self, event: str, fields: Mapping[str, str | int]) -> None:
        """Durable when it returns, unless the disk fails: then it is logged, and ``missing`` names it."""
        try:
            self._report_lost()
            with self._lock.held():
                self._writer.append(event, dict(fields))
        except (OSError, ValueError) as error:
            self._lost += 1
            _log.error("bus_event_lost", lost_event=event, fields=dict(fields), error=str(error))

    def _report_lost(self) -> None:
        """Tells in a ``Health`` event how many could not be written. Raises OSError: still not possible."""
        lost = self._lost
        if lost:
            with self._lock.held():
                self._writer.append("Health", {"bus": self.name, "lost": lost})
            self._lost -= lost

    def missing(self) -> list[str]:
        """What keeps the bus from taking events. Tries again if this process has lost some."""
        try:
            self._report_lost()
            (self._directory / CURRENT).stat()
            space = os.statvfs(self._directory)
        except OSError as error:
            return [f"bus: {error}"]
        if space.f_bavail * space.f_frsize < MIN_FREE_BYTES:
            return [f"bus: less than {MIN_FREE_BYTES} bytes are free for {self._directory}"]
        return []

    def tail(self, since: float, *, follow: bool = False) -> Iterator[Event]:
        """Events at ``since`` (Unix seconds) or later, oldest first; with ``follow`` also those to come."""
        return tail(self._directory, since, follow=follow)

    def after_fork(self) -> None:
        """Own lock and descriptor."""
        self._lock.after_fork()
        self._writer.reopen()

    def close(self) -> None:
        """Closes the files."""
        self._writer.close()
        self._lock.close()


def tail(directory: Path, since: float, *, follow: bool = False) -> Iterator[Event]:
    """As :meth:`LocalBus.tail`, for a reader without a bus: writes nothing, takes no lock. Raises OSError."""
    with closing(EventReader(directory)) as reader:
        while True:
            yield from (event for event in reader.read() if event.time.timestamp() >= since)
            if not follow:
                return
            time.sleep(FOLLOW_SECONDS)
