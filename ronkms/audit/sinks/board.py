"""How the sinks stand: a small shared page, made before the forks.

The feeding process writes, the admin process reads. Every number is one aligned 8-byte word, so a reader
sees an old or a new value; a text that is read while it is written comes out garbled once, and is for people.
"""

from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from ronkms.domain.audit_sink import AuditSink

TEXT_BYTES: Final = 240
STALE_SECONDS: Final = 1.0
"""A feeder that has not shown itself for so long does not run, or hangs."""

_HEAD_WORDS: Final = 2
_NUMBERS: Final = 8
_TEXT_WORDS: Final = 1 + TEXT_BYTES // 8
_ROW_WORDS: Final = _NUMBERS + 2 * _TEXT_WORDS
_STATE, _HOLDING, _RECORD, _SINCE, _DELIVERED, _ERRORS, _DROPPED, _CUT = range(_NUMBERS)


class State(IntEnum):
    """Of a sink."""

    STARTING = 0
    """It was not reached yet."""
    UP = 1
    DOWN = 2


class SinkStatus(NamedTuple):
    """Of one sink. ``record``: the next one to deliver; ``since``: of the state, Unix seconds."""

    name: str
    state: State
    holding: bool
    """It is required, and holds operations back."""
    reason: str
    """Why it is not up, or holds."""
    record: int
    since: int
    delivered: int
    errors: int
    dropped: int
    cut: int
    error: str
    """The last one, also after it is over."""


class _Text:
    """A length word and room for ``TEXT_BYTES``."""

    def __init__(self, words: memoryview) -> None:
        self._length = words[:1]
        self._room = words[1:].cast("B")

    def write(self, text: str) -> None:
        data = text.encode(errors="replace")[:TEXT_BYTES]
        self._room[: len(data)] = data
        self._length[0] = len(data)

    def read(self) -> str:
        return bytes(self._room[: min(self._length[0], TEXT_BYTES)]).decode(errors="ignore")


class SinkRow:
    """The row of one sink. The feeder and the sink's own thread write different words, but for errors."""

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self._reason = _Text(words[_NUMBERS : _NUMBERS + _TEXT_WORDS])
        self._error = _Text(words[_NUMBERS + _TEXT_WORDS :])
        self._errors = threading.Lock()

    def show(self, state: State, *, holding: bool, record: int, reason: str) -> None:
        """By the feeder, in every turn."""
        if self._words[_STATE] != state or not self._words[_SINCE]:
            self._words[_SINCE] = int(time.time())
        self._words[_STATE] = state
        self._words[_HOLDING] = holding
        self._words[_RECORD] = record
        self._reason.write(reason)

    def delivered(self, records: int) -> None:
        """By the sink's thread, as the following."""
        self._words[_DELIVERED] += records

    def dropped(self, records: int) -> None:
        """Records that were skipped."""
        self._words[_DROPPED] += records

    def cut(self) -> None:
        """A message that was sent in part."""
        self._words[_CUT] += 1

    def failed(self, error: str) -> None:
        """A failed attempt, or that the sink is stuck; of ``error`` the first 240 bytes are kept."""
        with self._errors:
            self._words[_ERRORS] += 1
            self._error.write(error)

    def read(self, name: str) -> SinkStatus:
        """By anybody."""
        words = self._words
        return SinkStatus(
            name,
            State(words[_STATE]),
            bool(words[_HOLDING]),
            self._reason.read(),
            words[_RECORD],
            words[_SINCE],
            words[_DELIVERED],
            words[_ERRORS],
            words[_DROPPED],
            words[_CUT],
            self._error.read(),
        )


class SinkBoard:
    """Rows in the order of ``names``."""

    def __init__(self, names: Sequence[str]) -> None:
        """To be called in the arbiter."""
        self.names = tuple(names)
        page = mmap.mmap(-1, 8 * (_HEAD_WORDS + _ROW_WORDS * max(len(names), 1)))
        self._words = memoryview(page).cast("Q")
        self.rows = tuple(self._row(position) for position in range(len(names)))

    def _row(self, position: int) -> SinkRow:
        begin = _HEAD_WORDS + _ROW_WORDS * position
        return SinkRow(self._words[begin : begin + _ROW_WORDS])

    def beat(self, pid: int) -> None:
        """The feeder ``pid`` runs."""
        self._words[0] = pid
        self._words[1] = int(time.monotonic() * 1000)

    @property
    def feeder(self) -> int:
        """Process id of the feeder; 0 if it does not run, or hangs."""
        age = time.monotonic() - self._words[1] / 1000
        return self._words[0] if age < STALE_SECONDS else 0

    def read(self) -> list[SinkStatus]:
        """How each stands; nothing is up without a feeder."""
        found = [row.read(name) for name, row in zip(self.names, self.rows, strict=True)]
        if self.feeder:
            return found
        return [
            status._replace(state=State.DOWN if status.state == State.UP else status.state)
            for status in found
        ]


def missing_sinks(sinks: Sequence[AuditSink], board: SinkBoard) -> list[str]:
    """For readiness: what keeps operations from the required sinks. ``sinks`` in the order of the board."""
    required = [status for sink, status in zip(sinks, board.read(), strict=True) if sink.required]
    if required and not board.feeder:
        return ["audit sinks: their process does not run"]
    return [f"audit sink {status.name}: {status.reason}" for status in required if status.holding]
