"""Which intents of the log have no outcome yet (docs/formats/audit.md, Recovery of intents)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from ronkms.audit.segments import list_segments
from ronkms.audit.tail import START, Position, read_lines
from ronkms.journal.durable_file import replace_file

POSITION_FILE: Final = "intents.position"
MAX_UNKNOWN_SEGMENTS: Final = 8
"""How many segments, newest last, are read when no position was saved."""

_positions: Final = msgspec.json.Decoder(Position)
_MARK: Final = b'"phase":"'
"""Stands in the lines of intents and outcomes only: in a text of the body its quotes would be escaped."""


def needed_segment(directory: Path) -> int:
    """The oldest segment that the next start may have to read; 0 if that is not known. Raises OSError."""
    try:
        return _positions.decode((directory / POSITION_FILE).read_bytes()).segment
    except (FileNotFoundError, msgspec.MsgspecError):
        return 0


class Phase(msgspec.Struct, frozen=True):
    """What recovery needs of an intent or an outcome."""

    seq: int
    op: str
    outcome: str
    tenant: str
    token: str
    corr_id: str
    phase: str
    key_id: str = ""
    key_version: int = 0
    alg: str = ""
    detail: str = ""
    pid: int = 0
    """The process that wrote the intent; 0 in logs of older versions."""

    @property
    def identity(self) -> tuple[str | int, ...]:
        """Equal in an intent and its outcome. Requests that share it are answered in any order."""
        return (self.op, self.tenant, self.token, self.corr_id, self.key_id, self.pid)


_decoder: Final = msgspec.json.Decoder(Phase)


class IntentLedger:
    """Follows the log from a saved position, from which on every intent that may be open is seen."""

    def __init__(self, directory: Path) -> None:
        """``directory`` is that of the log. Raises OSError."""
        self._directory = directory
        self._open: dict[tuple[str | int, ...], list[tuple[Position, Phase]]] = {}
        self._done: list[tuple[Position, Phase]] = []
        self._end = self._saved()
        self._margin = self._end
        self._on_disk: Position | None = None

    @property
    def open(self) -> list[Phase]:
        """Intents without an outcome, in the order of the log."""
        found = [intent for same in self._open.values() for _, intent in same]
        return sorted(found, key=lambda intent: intent.seq)

    @property
    def done(self) -> list[Phase]:
        """Outcomes ``ok`` since the saved position, in the order of the log."""
        return [outcome for _, outcome in self._done]

    def read_on(self) -> None:
        """Reads what was appended since. Raises OSError."""
        for position, phase in self._new_phases():
            if phase.phase == "intent":
                self._open.setdefault(phase.identity, []).append((self._margin, phase))
                continue
            if phase.outcome == "ok":
                self._done.append((position, phase))
            same = self._open.get(phase.identity)
            if same:
                # The oldest stays open, so that the saved position is before all with this identity.
                same.pop()
                if not same:
                    del self._open[phase.identity]

    def follow(self) -> None:
        """:meth:`read_on`, and saves the position. For one process, now and then. Raises OSError.

        What was read this time is kept for the next, and what was read just before an open intent as long as
        that: an operation looks at the store a little before its intent is written, and recovery must know
        what others did meanwhile."""
        before = self._end
        self.read_on()
        self._save(min([before, *(kept for same in self._open.values() for kept, _ in same)]))
        self._margin = before

    def settle(self) -> None:
        """All open intents have been given outcomes: saves the end as position. Raises OSError."""
        self._open.clear()
        self._save(self._end)

    def _save(self, position: Position) -> None:
        self._done = [entry for entry in self._done if entry[0] >= position]
        if position != self._on_disk:
            replace_file(self._directory / POSITION_FILE, msgspec.json.encode(position))
            self._on_disk = position

    def _saved(self) -> Position:
        try:
            position = _positions.decode((self._directory / POSITION_FILE).read_bytes())
        except (FileNotFoundError, msgspec.MsgspecError):
            # Also a damaged one: reading more than is needed is always right.
            position = START
        segments = list_segments(self._directory)
        here = [segment for segment in segments if segment.number == position.segment]
        if here and position.offset <= here[0].path.stat().st_size:
            return position
        oldest = segments[-MAX_UNKNOWN_SEGMENTS:]
        return Position(oldest[0].number if oldest else 1, 0)

    def _new_phases(self) -> Iterator[tuple[Position, Phase]]:
        for begin, lines, end in read_lines(self._directory, self._end):
            for offset, line in _marked_lines(lines):
                yield Position(begin.segment, begin.offset + offset), _decoder.decode(line)
            self._end = end


def _marked_lines(chunk: bytes) -> Iterator[tuple[int, bytes]]:
    found = chunk.find(_MARK)
    while found >= 0:
        begin = chunk.rfind(b"\n", 0, found) + 1
        end = chunk.index(b"\n", found)
        yield begin, chunk[begin:end]
        found = chunk.find(_MARK, end)
