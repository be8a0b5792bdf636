"""The files of an audit log directory, and their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

MAX_LINE: Final = (1 << 20) + 256
"""Longest line in bytes, newline included."""

_NAME: Final = re.compile(r"audit-([0-9]{8,})\.jsonl")


class Segment(NamedTuple):
    """One file of the log."""

    number: int
    path: Path


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
    found = {} if archive is None else _segments(archive)
    found |= _segments(directory)
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


def lines_of(path: Path) -> Iterator[Line]:
    """The lines of a segment in constant memory; longer ones come in pieces. Raises OSError."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            ended = line.endswith(b"\n") or len(line) > MAX_LINE
            yield Line(number, line.removesuffix(b"\n"), ended)
