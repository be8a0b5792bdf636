"""The uses of a key: what the file of last uses says, and what the audit log says since."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import structlog
from msgspec.structs import replace

from ronkms.audit.segments import list_segments
from ronkms.audit.tail import read_lines
from ronkms.domain.key_use import KeyUsage, UseName, Uses
from ronkms.errors import BackendUnavailable
from ronkms.usage.database import Known, read_usage
from ronkms.usage.log_uses import LogUses

MAX_TAIL: Final = 64 << 20
"""Bytes of the log that are read for one answer."""

_Name = TypeVar("_Name")

_log = structlog.get_logger("ronkms.usage")


class LoggedUsage:
    """Implements ``usage.protocol.UsageReader``. Holds no descriptor between calls."""

    def __init__(self, path: Path, audit_directory: Path) -> None:
        self._path = path
        self._audit = audit_directory

    def of(self, tenant: str, key_id: str) -> KeyUsage:
        """See ``usage.protocol.UsageReader``."""
        try:
            usage, known = read_usage(self._path, tenant, key_id)
            if self._unread(known) > MAX_TAIL:
                return replace(usage, complete=False)
            return self._with_tail(usage, known, tenant, key_id)
        except (sqlite3.Error, OSError, msgspec.DecodeError, ValueError) as error:
            _log.error("usage_not_readable", file=str(self._path), error=str(error))
            raise BackendUnavailable("the uses of keys cannot be read; the server's log says why") from error

    def _unread(self, known: Known) -> int:
        """Bytes of the log that the file does not know."""
        unread = 0
        for segment in list_segments(self._audit):
            if segment.number >= known.place.segment:
                unread += segment.path.stat().st_size
                if segment.number == known.place.segment:
                    unread -= known.place.offset
        return unread

    def _with_tail(self, usage: KeyUsage, known: Known, tenant: str, key_id: str) -> KeyUsage:
        needles = (b'"key_id":"%s"' % key_id.encode(), b'"%s/' % key_id.encode())
        found = LogUses()
        since = usage.since
        for _, lines, _ in read_lines(self._audit, known.place):
            if since is None:
                first = LogUses()
                first.take_line(lines[: lines.index(b"\n")])
                since = first.since
            for begin, end in sorted({place for needle in needles for place in _lines_with(lines, needle)}):
                found.take_line(lines[begin:end])
        for user, uses in found.by_user.items():
            if (user.tenant, user.key_id) == (tenant, key_id):
                name = UseName(user.version, user.op, user.refused)
                _add(usage.totals, name, uses)
                _add(usage.users, (name, user.token), uses)
        return replace(usage, since=since)


def _lines_with(lines: bytes, needle: bytes) -> Iterator[tuple[int, int]]:
    """(begin, end) of each line that holds ``needle``."""
    found = lines.find(needle)
    while found >= 0:
        end = lines.index(b"\n", found)
        yield lines.rfind(b"\n", 0, found) + 1, end
        found = lines.find(needle, end)


def _add(sums: dict[_Name, Uses], name: _Name, uses: Uses) -> None:
    if name in sums:
        sums[name].add(uses)
    else:
        sums[name] = replace(uses)
