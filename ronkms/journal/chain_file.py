"""One journal file and its head on disk: reads the chain, extends it, cuts it back (docs/formats/journal.md).

Invariant: ``position`` is authentic and was reached by reading every line before ``offset``. Not thread-safe.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from ronkms.errors import IntegrityError
from ronkms.journal.durable_file import replace_file, sync_file, write_at
from ronkms.journal.line import CHAIN_START, MAX_LINE, LineCodec, Position

_CHUNK: Final = 1 << 20
_MAX_HEAD: Final = 4096
FORMAT: Final = "ron-kms journal"
VERSION: Final = 1


class HeadPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A head inside a header; ``mac`` in hex."""

    seq: int
    mac: str


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The entry of the first line of each file."""

    format: str = FORMAT
    version: int = VERSION
    name: str
    snapshot: int = 0
    previous: HeadPosition | None = None


class _Version(msgspec.Struct):
    version: int


class ChainFile:
    """Opens ``directory/name``, checks its first line and stands after it."""

    def __init__(self, directory: Path, name: str, codec: LineCodec) -> None:
        """Raises IntegrityError (missing, damaged, of a newer version), OSError."""
        self.path = directory / name
        self._head_path = directory / f"{name}.head"
        self._name = name
        self._codec = codec
        self._descriptor = self._open()
        self._position = Position(0, CHAIN_START)
        self._offset = 0
        try:
            self.header = self._read_header()
        except BaseException:
            self.close()
            raise
        self._start = self._position

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise self.broken("is missing; restore the directory from one backup") from None

    def broken(self, what: str) -> IntegrityError:
        """The error to raise; names the file in one line."""
        return IntegrityError(f"journal {self.path} {what}")

    def _read_header(self) -> Header:
        line = next(self._lines(), b"")
        parsed = self._codec.entry(None, line)
        if parsed is None:
            raise self.broken("has no authentic header: damaged, or of another root key")
        entry, self._position = parsed
        self._offset = len(line)
        version = msgspec.json.decode(entry, type=_Version).version
        if version != VERSION:
            raise self.broken(f"has version {version}; this ron-kms reads version {VERSION}")
        header = msgspec.json.decode(entry, type=Header)
        if header.name != self._name or header.format != FORMAT:
            raise self.broken(f"is the journal {header.name!r} of format {header.format!r}")
        return header

    @property
    def position(self) -> Position:
        """Where the reading stands."""
        return self._position

    @property
    def entries(self) -> int:
        """How many entries were read from this file, the header left out."""
        return self._position.seq - self._start.seq

    def _lines(self) -> Iterator[bytes]:
        """Lines from the current offset on, each with its newline; the last may lack it."""
        offset = self._offset
        rest = b""
        while chunk := os.pread(self._descriptor, _CHUNK, offset):
            offset += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line + b"\n"
            if len(rest) > MAX_LINE:
                break
        if rest:
            yield rest

    def replay(self, until: Position) -> Iterator[tuple[int, bytes]]:
        """(seq, entry) of what follows, up to ``until``. Raises IntegrityError if it is not all there."""
        if self._position.seq < until.seq:
            for line in self._lines():
                parsed = self._codec.entry(self._position, line)
                if parsed is None:
                    raise self.broken(f"is damaged at entry {self._position.seq + 1} (byte {self._offset})")
                entry, self._position = parsed
                self._offset += len(line)
                yield self._position.seq, entry
                if self._position.seq == until.seq:
                    break
            else:
                raise self.broken(
                    f"ends at entry {self._position.seq}, its head says {until.seq}: cut off or rolled back"
                )
        if self._position != until:
            raise self.broken(f"and its head do not belong together (entry {until.seq})")

    def snapshot_end(self) -> Position:
        """The end of the entries that a compaction wrote, read from the header on; moves nothing.

        Raises IntegrityError if they are not all there."""
        position = self._start
        lines = self._lines()
        for _ in range(self.header.snapshot):
            parsed = self._codec.entry(position, next(lines, b""))
            if parsed is None:
                raise self.broken(f"is damaged at entry {position.seq + 1}, inside its snapshot")
            position = parsed[1]
        return position

    def after_head(self) -> tuple[Position | None, int]:
        """What a crash left after the current position: (a whole entry's position, torn bytes).

        Raises IntegrityError if it is more than one crash can leave.
        """
        lines = self._lines()
        line = next(lines, None)
        if line is None:
            return None, 0
        if next(lines, None) is not None or len(line) > MAX_LINE:
            raise self.broken(f"goes on after its head ({self._position.seq}): the head was rolled back")
        parsed = self._codec.entry(self._position, line)
        return (None, len(line)) if parsed is None else (parsed[1], 0)

    def append(self, entry: bytes) -> Position:
        """Writes the line after the current position and fsyncs it; commits and moves nothing.

        Raises SyncError, OSError, ValueError (the entry does not fit)."""
        line, position = self._codec.line(self._position, entry)
        write_at(self._descriptor, line, self._offset)
        sync_file(self._descriptor)
        return position

    def cut_back(self) -> None:
        """Removes everything after the current position, durably. Raises SyncError, OSError."""
        os.ftruncate(self._descriptor, self._offset)
        sync_file(self._descriptor)

    def read_head(self) -> Position | None:
        """The committed position, or None if there is no head. Raises IntegrityError, OSError."""
        try:
            descriptor = os.open(self._head_path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            head = os.read(descriptor, _MAX_HEAD)
        finally:
            os.close(descriptor)
        position = self._codec.position(head)
        if position is None:
            raise IntegrityError(f"journal head {self._head_path} is damaged, or of another root key")
        return position

    def write_head(self, position: Position) -> None:
        """Commits. Raises SyncError, OSError."""
        replace_file(self._head_path, self._codec.head(position))

    def in_place(self) -> bool:
        """False when the file was deleted or replaced since it was opened."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def reopen(self) -> None:
        """An own descriptor for a child process. Raises IntegrityError, OSError."""
        if not self.in_place():
            raise self.broken("was deleted or replaced while the server runs; restart it")
        descriptor = self._open()
        self.close()
        self._descriptor = descriptor

    def close(self) -> None:
        """Closes the descriptor."""
        os.close(self._descriptor)
