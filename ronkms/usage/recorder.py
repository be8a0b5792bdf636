"""Carries the uses of keys from the audit log into their file. For one process: the admin process."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Final

import msgspec
import structlog

from ronkms.audit.segments import MAX_LINE, list_segments
from ronkms.audit.tail import START, Position, read_lines
from ronkms.errors import IntegrityError
from ronkms.usage.database import Known, UsageDatabase, remove
from ronkms.usage.log_uses import LogUses

PAUSE_SECONDS: Final = 0.005
"""After each piece of the log, so that other threads of the process need not wait for an old log."""

_log = structlog.get_logger("ronkms.usage")


class UsageRecorder:
    """Made after the fork; ``turn`` is called now and then."""

    def __init__(self, path: Path, audit_directory: Path) -> None:
        """Nothing is opened before the first turn."""
        self._path = path
        self._audit = audit_directory
        self._database: UsageDatabase | None = None

    def turn(self) -> None:
        """Reads the log up to its present end. What cannot be done is logged, and tried the next time.

        Raises IntegrityError: a line of the log is not one of an audit log."""
        try:
            database = self._opened()
            self._forget_lost_place(database)
            self._read_on(database)
        except sqlite3.OperationalError as error:  # the disk, or a reader that holds on
            _log.warning("usage_not_recorded", error=str(error))
            self.close()
        except sqlite3.DatabaseError as error:
            _log.error("usage_file_damaged", file=str(self._path), error=str(error), advice="it is made anew")
            self.close()
            remove(self._path)

    def close(self) -> None:
        """Closes the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _opened(self) -> UsageDatabase:
        if self._database is None:
            self._database = UsageDatabase(self._path)
        return self._database

    def _forget_lost_place(self, database: UsageDatabase) -> None:
        """Segments that were archived unread leave a gap: uses are known from the next record on."""
        known = database.known
        numbers = [segment.number for segment in list_segments(self._audit)]
        if known.place != START and numbers and known.place.segment < numbers[0]:
            _log.warning("usage_gap", first_segment=numbers[0], read_up_to=known.place.segment)
            database.add({}, Known(Position(numbers[0], 0), None))

    def _read_on(self, database: UsageDatabase) -> None:
        for _, lines, end in read_lines(self._audit, database.known.place, MAX_LINE):
            uses = LogUses()
            try:
                uses.take(lines)
            except (msgspec.DecodeError, ValueError) as error:
                raise IntegrityError(f"the audit log cannot be read for uses of keys: {error}") from None
            since = uses.since if database.known.since is None else database.known.since
            database.add(uses.by_user, Known(end, since))
            time.sleep(PAUSE_SECONDS)
