"""The files of an audit log directory, and their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

MAX_LINE: Final = (1 << 20) + 256
"""Longest line in bytes, newline included."""

_NAME: Final = re.compile(r"audit-([0-9]{8,})\.jsonl")


class Segment(NamedTuple):
    """One file of the log."""

    number: int
    path: Path
    copy: Path | None = None
    """Where its copy is when it has left the directory of a running server."""

    def open(self) -> BinaryIO:
        """For reading. Raises OSError."""
        try:
            return self.path.open("rb")
        except FileNotFoundError:
            if self.copy is None:
                raise
        return self.copy.open("rb")


class Line(NamedTuple):
    """One line without its newline."""

    number: int
    content: bytes
    ended: bool
    """False for the end of a file that has no newline."""


def segment_number(name: str) -> int | None:
    """Of a segment's file name; None for any other."""
    match = _NAME.fullmatch(name)
    if match is None or segment_name(int(match[1])) != name:
        return None
    return int(match[1])


def segment_name(number: int) -> str:
    """Eight digits or more."""
    return f"audit-{number:08}.jsonl"


def list_segments(directory: Path, archive: Path | None = None) -> list[Segment]:
    """The segments in order; those that are only in ``archive`` too. Raises OSError."""
    # In this order: what leaves in between is in the archive already.
    found = _segments(directory)
    if archive is not None:
        copies = _segments(archive)
        found = copies | {
            number: segment._replace(copy=archive / segment.path.name) for number, segment in found.items()
        }
    return [found[number] for number in sorted(found)]


def _segments(directory: Path) -> dict[int, Segment]:
    numbered = ((segment_number(path.name), path) for path in directory.iterdir())
    return {number: Segment(number, path) for number, path in numbered if number is not None}


def torn_of(directory: Path, number: int) -> list[Path]:
    """Torn ends that were moved aside from a segment. Raises OSError."""
    begin = segment_name(number).removesuffix(".jsonl") + "."
    return [path for path in list_torn(directory) if path.name.startswith(begin)]


def list_torn(directory: Path) -> list[Path]:
    """Files with the torn ends of records that a crash left. Raises OSError."""
    return sorted(path for path in directory.iterdir() if path.name.endswith(".torn"))


def lines_of(segment: Segment) -> Iterator[Line]:
    """The lines of a segment in constant memory; longer ones come in pieces. Raises OSError."""
    with segment.open() as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            ended = line.endswith(b"\n") or len(line) > MAX_LINE
            yield Line(number, line.removesuffix(b"\n"), ended)
