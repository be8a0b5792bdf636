"""Reads whole lines of a log from some place on, as they are; nothing is checked or parsed here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from ronkms.audit.segments import MAX_LINE, list_segments

CHUNK: Final = 4 << 20
"""Bytes of a read by default; more than the longest line."""


class Position(msgspec.Struct, frozen=True, order=True):
    """The beginning of a line: segment number and offset in bytes."""

    segment: int
    offset: int


START: Final = Position(0, 0)
"""Before the oldest segment, whichever that is."""


def read_lines(
    directory: Path, since: Position, chunk: int = CHUNK
) -> Iterator[tuple[Position, bytes, Position]]:
    """(begin, whole lines with their newlines, end) from ``since`` on to the present end.

    ``chunk``: bytes at a time, at least ``MAX_LINE``. Segments that are gone are passed over. Raises OSError.
    """
    place = since
    # Listed first: a segment that has a successor then is whole.
    for segment in list_segments(directory):
        if segment.number < place.segment:
            continue
        if segment.number > place.segment:
            place = Position(segment.number, 0)
        try:
            file = segment.path.open("rb")
        except FileNotFoundError:  # archived since the list was made
            continue
        with file:
            file.seek(place.offset)
            while lines := _whole(file.read(max(chunk, MAX_LINE))):
                end = Position(segment.number, place.offset + len(lines))
                yield place, lines, end
                place = end
                file.seek(place.offset)


def _whole(data: bytes) -> bytes:
    return data[: data.rfind(b"\n") + 1]
