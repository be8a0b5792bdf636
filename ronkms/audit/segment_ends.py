"""The first and the last record of a segment, without reading what lies between."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from ronkms.audit.segments import MAX_LINE
from ronkms.errors import IntegrityError


class End(NamedTuple):
    """A record: its number, and its time in Unix seconds."""

    seq: int
    time: float


class _Line(msgspec.Struct):
    seq: int
    time: str


def first_of(path: Path) -> End | None:
    """None if there is no record yet. Raises IntegrityError, OSError."""
    with path.open("rb") as file:
        line = file.readline(MAX_LINE + 1)
    return _end(path, line) if line.endswith(b"\n") else None


def last_of(path: Path) -> End | None:
    """None if there is no whole record. Raises IntegrityError, OSError."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 2 * MAX_LINE))
        lines = file.read().split(b"\n")
    return _end(path, lines[-2]) if len(lines) > 1 else None


def _end(path: Path, line: bytes) -> End:
    try:
        found = msgspec.json.decode(line, type=_Line)
        return End(found.seq, datetime.fromisoformat(found.time).astimezone(UTC).timestamp())
    except (msgspec.DecodeError, ValueError, OverflowError):
        raise IntegrityError(f"{path.name} begins or ends with a line that is no audit record") from None
