"""How far a sink has got: one small file, replaced durably (docs/formats/audit-sinks.md)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ronkms.audit.segment_ends import first_of
from ronkms.audit.segments import list_segments
from ronkms.errors import IntegrityError
from ronkms.journal.durable_file import make_directory, replace_file

DIRECTORY: Final = "sinks"
VERSION: Final = 1


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``record`` is the number of the next record to deliver, ``leaf`` the leaf hash (hex) before it."""

    record: Annotated[int, Meta(ge=0)]
    leaf: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class _Content(Position, frozen=True, forbid_unknown_fields=True):
    v: Annotated[int, Meta(ge=VERSION, le=VERSION)]


class PositionFile:
    """Of the sink ``name`` of the log in ``directory``. One process writes."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory / DIRECTORY
        self._path = self._directory / f"{name}.json"

    def load(self) -> Position | None:
        """None if there is none yet. Raises IntegrityError, OSError."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            found = msgspec.json.decode(content, type=_Content)
        except msgspec.MsgspecError:
            raise IntegrityError(
                f"{self._path} is damaged; the sink begins anew if it is deleted while the server is stopped"
            ) from None
        return Position(found.record, found.leaf)

    def save(self, position: Position) -> None:
        """Durable when it returns. Raises OSError."""
        make_directory(self._directory)
        content = _Content(position.record, position.leaf, VERSION)
        replace_file(self._path, msgspec.json.encode(content) + b"\n")


def needed_segment(directory: Path, names: Iterable[str]) -> int:
    """The oldest segment that one of the sinks has not got to its end; 0 if that is not known.

    Raises IntegrityError, OSError."""
    positions = [PositionFile(directory, name).load() for name in names]
    records = [0 if position is None else position.record for position in positions]
    segments = list_segments(directory)
    if not records:
        return segments[-1].number
    needed = 0
    for segment in segments:
        first = first_of(segment.path)
        if first is not None and first.seq > min(records):
            break
        needed = segment.number
    return needed
