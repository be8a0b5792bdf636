"""Reads a log from some record on, checks each record's number and link, and hashes it.

No record is parsed: the chain fields stand first in a line, in one spelling (docs/formats/audit.md).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from ronkms_native import follow_log

from ronkms.audit.merkle import HASH_BYTES
from ronkms.audit.segments import MAX_LINE, Segment, list_segments, segment_name
from ronkms.errors import IntegrityError

_CHUNK: Final = MAX_LINE + 256
"""Bytes of a read: one line of any length fits."""
_BACKWARDS: Final = 1 << 17
_SEQ: Final = re.compile(rb'\{"seq":(0|[1-9][0-9]{0,18}),"prev":"([0-9a-f]{64})"')
_ORIGIN: Final = bytes(32)


class Followed(NamedTuple):
    """A record that continues the chain."""

    number: int
    line: bytes
    """Without its newline."""
    leaf: bytes


class LogFollower:
    """``record`` is the number of the next record, ``leaf`` the leaf hash of the one before."""

    def __init__(
        self, directory: Path, record: int = 0, leaf: bytes = _ORIGIN, archive: Path | None = None
    ) -> None:
        """``archive``: where segments are looked for that are not in ``directory``.

        Raises IntegrityError: the segments do not go back to ``record``; OSError."""
        self._directory = directory
        self._archive = archive
        self.record = record
        self.leaf = leaf
        self._segment, self._offset = _find(list_segments(directory, archive), record)

    @property
    def segment(self) -> str:
        """Name of the segment that is read now."""
        return segment_name(self._segment)

    def read(self, end: int) -> bytes:
        """Leaf hashes of the next records, one behind the other; see :meth:`read_records`."""
        return self._next(end)[1]

    def read_records(self, end: int) -> list[Followed]:
        """The next records before number ``end``, at most those of one read.

        Empty when there is nothing more to read. Raises IntegrityError with the place, OSError."""
        first = self.record
        data, joined = self._next(end)
        leaves = [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]
        numbered = enumerate(zip(data.split(b"\n"), leaves, strict=False), first)
        return [Followed(number, line, leaf) for number, (line, leaf) in numbered]

    def _next(self, end: int) -> tuple[bytes, bytes]:
        """Lines, and what may stand behind them; their leaf hashes."""
        while self.record < end:
            following = self._path(self._segment + 1).exists()
            data = self._read()
            if b"\n" in data:
                return data, self._take(data, end)
            if not following:
                if len(list_segments(self._directory)) and not self._path(self._segment).exists():
                    raise IntegrityError(f"{self.segment} is missing")
                return b"", b""
            if data:
                raise IntegrityError(f"{self.segment} ends within a record, at byte {self._offset}")
            self._segment += 1
            self._offset = 0
        return b"", b""

    def _take(self, data: bytes, end: int) -> bytes:
        leaves, length = follow_log(data, self.record, self.leaf, end - self.record)
        due = self.record + len(leaves) // HASH_BYTES
        if due < end and data.find(b"\n", length) >= 0:
            raise IntegrityError(
                f"{self.segment} at byte {self._offset + length}: record {due} is due here, and does not"
                " continue the chain: it or the one before was changed, removed or reordered"
            )
        self._offset += length
        self.record = due
        self.leaf = leaves[-HASH_BYTES:]
        return leaves

    def _read(self) -> bytes:
        """What is there from here on, a read at most."""
        try:
            descriptor = os.open(self._path(self._segment), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(descriptor, _CHUNK, self._offset)
        finally:
            os.close(descriptor)

    def _path(self, number: int) -> Path:
        path = self._directory / segment_name(number)
        if self._archive is None or path.exists():
            return path
        return self._archive / segment_name(number)


def first_record(directory: Path) -> tuple[int, bytes]:
    """(number of the first record here, leaf hash of the one before it): later than 0 if segments were
    archived. Raises IntegrityError, OSError."""
    for segment in list_segments(directory):
        try:
            found = _head(segment.path)
        except FileNotFoundError:  # it left since the list was made
            continue
        if found is not None:
            return found
        break
    return 0, _ORIGIN


def line_of(directory: Path, record: int, archive: Path | None = None) -> bytes:
    """The line of a record without its newline; the newer, the sooner found. ``archive``: see LogFollower.

    Raises IntegrityError: not here; OSError."""
    for segment in reversed(list_segments(directory, archive)):
        head = _head(segment.path)
        if head is None or head[0] > record:
            continue
        offset = 0 if head[0] == record else _find_backwards(segment.path, record)
        if offset is None:
            break
        with segment.path.open("rb") as file:
            file.seek(offset)
            line = file.readline(MAX_LINE + 1)
        if not line.endswith(b"\n"):
            break
        return line[:-1]
    raise IntegrityError(f"record {record} is not in the segments here; give --archive if it has left")


def _find_backwards(path: Path, record: int) -> int | None:
    start = b'\n{"seq":%d,"prev":"' % record
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > len(start):
            begin = max(0, end - _BACKWARDS)
            file.seek(begin)
            found = file.read(end - begin).rfind(start)
            if found >= 0:
                return begin + found + 1
            end = begin + len(start) if begin else 0
    return None


def _head(path: Path) -> tuple[int, bytes] | None:
    with path.open("rb") as file:
        start = file.read(160)
    if not start:
        return None
    found = _SEQ.match(start)
    if found is None:
        raise IntegrityError(f"{path.name} does not begin with an audit record")
    return int(found[1]), bytes.fromhex(found[2].decode())


def _find(segments: Sequence[Segment], record: int) -> tuple[int, int]:
    """(segment, byte) where ``record`` stands, or will."""
    if not segments:
        return 1, 0
    for segment in reversed(segments):
        head = _head(segment.path)
        if head is None or head[0] > record:
            continue
        return segment.number, _skip(segment.path, record - head[0])
    if record == 0 and segments[0].number == 1 and _head(segments[0].path) is None:
        return 1, 0
    raise IntegrityError(f"record {record} is in a segment that left: give --archive, or bring it back")


def _skip(path: Path, lines: int) -> int:
    """Offset behind ``lines`` lines; the end of the file if there are fewer."""
    offset = 0
    with path.open("rb") as file:
        while lines:
            chunk = file.read(_CHUNK)
            count = chunk.count(b"\n")
            if not chunk or count < lines:
                lines -= count
                offset += len(chunk)
                if not chunk:
                    return offset
                continue
            at = 0
            for _ in range(lines):
                at = chunk.index(b"\n", at) + 1
            return offset + at
    return offset
