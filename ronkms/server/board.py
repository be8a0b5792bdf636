"""Which processes run and serve, and what waits in them: a small shared page, made before the forks.

Row 0 is the admin process, row N the worker with that place, the last row the process of the audit sinks.
The arbiter alone clears rows (after waitpid); a child writes its own row. Every field is one aligned 8-byte
word, so a reader sees an old or a new value.
"""

from __future__ import annotations

import mmap
import os
from enum import IntEnum
from typing import Final

ADMIN_ROW: Final = 0
_WORDS_A_ROW: Final = 8


class Stage(IntEnum):
    """How far a process is."""

    ABSENT = 0
    BOOTING = 1
    SERVING = 2
    READY = 3
    """Admin row only: ``/readyz`` answers 200."""


class ProcessBoard:
    """Rows of (pid, stage), and whether the server drains."""

    def __init__(self, workers: int) -> None:
        """To be called in the arbiter."""
        self.workers = workers
        self.arbiter = os.getpid()
        self.sinks_row = workers + 1
        self._page = mmap.mmap(-1, 8 * (1 + _WORDS_A_ROW * (workers + 2)))
        self._words = memoryview(self._page).cast("Q")

    def free_row(self) -> int:
        """The first worker row without a process. Raises :class:`ValueError` when there is none."""
        for row in range(1, self.workers + 1):
            if self._words[_stage_word(row)] == Stage.ABSENT:
                return row
        raise ValueError("all worker rows are taken")

    def set(self, row: int, pid: int, stage: Stage) -> None:
        """Enters a process."""
        self._words[_stage_word(row) - 1] = pid
        self._words[_stage_word(row)] = stage

    def advance(self, row: int, stage: Stage) -> None:
        """Moves the process of ``row`` to another stage."""
        self._words[_stage_word(row)] = stage

    def show_load(self, row: int, waiting: int, parked: int, connections: int) -> None:
        """Enters how many requests wait in a worker, and how many connections it has parked and in all."""
        word = _stage_word(row)
        self._words[word + 1] = waiting
        self._words[word + 2] = parked
        self._words[word + 3] = connections

    def show_external_policy(self, row: int, breaker: int, fault: int, at: int) -> None:
        """Enters a worker's circuit breaker, and its last fault by number (0: none) with its Unix time."""
        word = _stage_word(row)
        self._words[word + 4] = breaker
        self._words[word + 5] = fault
        self._words[word + 6] = at

    def external_policy(self) -> dict[int, tuple[int, int, int]]:
        """(breaker, fault, time) as entered by each worker that serves, by row."""
        return {
            row: (self._words[word + 4], self._words[word + 5], self._words[word + 6])
            for row in range(1, self.workers + 1)
            if self._words[word := _stage_word(row)] == Stage.SERVING
        }

    def fewest_connections(self, row: int) -> int | None:
        """Connections of that worker other than ``row`` which has the fewest; None if no other serves."""
        others = (_stage_word(other) for other in range(1, self.workers + 1) if other != row)
        return min(
            (self._words[word + 3] for word in others if self._words[word] == Stage.SERVING), default=None
        )

    def clear(self, row: int) -> None:
        """Forgets the process of ``row``."""
        self.set(row, 0, Stage.ABSENT)
        self.show_load(row, 0, 0, 0)
        self.show_external_policy(row, 0, 0, 0)

    def drain(self) -> None:
        """From now on the server is stopping."""
        self._words[0] = 1

    @property
    def draining(self) -> bool:
        """True once the server is stopping."""
        return self._words[0] == 1

    @property
    def serving_workers(self) -> int:
        """How many workers serve."""
        return sum(self._words[_stage_word(row)] == Stage.SERVING for row in range(1, self.workers + 1))

    @property
    def waiting(self) -> int:
        """Requests that wait for a thread, in all workers."""
        return sum(self._words[_stage_word(row) + 1] for row in range(1, self.workers + 1))

    @property
    def parked(self) -> int:
        """Connections that are not read for now, in all workers."""
        return sum(self._words[_stage_word(row) + 2] for row in range(1, self.workers + 1))

    @property
    def ready(self) -> bool:
        """True while ``/readyz`` answers 200."""
        return self._words[_stage_word(ADMIN_ROW)] == Stage.READY and not self.draining

    def pids(self) -> list[int]:
        """Process ids of the admin process, the workers and the audit sinks' process that run."""
        return [pid for row in range(self.workers + 2) if (pid := self._words[_stage_word(row) - 1])]


def _stage_word(row: int) -> int:
    return 2 + _WORDS_A_ROW * row
