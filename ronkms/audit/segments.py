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


def list_segments(directory: Path) -> list[Segment]:
    """The segments in order. Raises OSError."""
    found = []
    for path in directory.iterdir():
        match = _NAME.fullmatch(path.name)
        if match is not None:
            found.append(Segment(int(match[1]), path))
    return sorted(found)


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
