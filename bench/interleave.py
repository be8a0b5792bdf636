"""Operations per second of several callables, sampled in turn (A B C A B C ...).

A slow phase of the machine then meets all of them alike, and the ratio of two samples of one round is worth
more than their rates. Time is processor time of the process, all its threads together: what other processes
take away is not counted. A ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_WATCHED_SECONDS = 0.2

Operation = Callable[[int], object]
"""Does the operation as many times as the argument says."""


@dataclass(frozen=True)
class Samples:
    """Operations per second of processor time, one value a round, by name."""

    rates: Mapping[str, list[float]]

    def rate(self, name: str) -> float:
        """Median operations per second."""
        return statistics.median(self.rates[name])

    def ratios(self, name: str, reference: str) -> list[float]:
        """The rounds' ratios of ``name`` to ``reference``."""
        return [ours / theirs for ours, theirs in zip(self.rates[name], self.rates[reference], strict=True)]

    def ratio(self, name: str, reference: str) -> float:
        """The median of ``ratios``."""
        return statistics.median(self.ratios(name, reference))


@contextmanager
def one_core() -> Iterator[None]:
    """Ties this thread, and those that it starts meanwhile, to one core: the one that is least busy now."""
    allowed = os.sched_getaffinity(0)
    before = _idle_ticks()
    time.sleep(_WATCHED_SECONDS)
    after = _idle_ticks()
    os.sched_setaffinity(0, {max(allowed, key=lambda core: after.get(core, 0) - before.get(core, 0))})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _idle_ticks() -> dict[int, int]:
    """By core, proc_stat(5)."""
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    return {
        int(name[3:]): int(fields[3]) for name, *fields in lines if name.startswith("cpu") and name != "cpu"
    }


def measure_rate(operation: Operation, count: int) -> float:
    """Operations per second of processor time in one call of ``count`` operations."""
    began = time.process_time_ns()
    operation(count)
    return count / max(time.process_time_ns() - began, 1) * 1e9


def interleave(operations: Mapping[str, Operation], *, rounds: int, seconds: float) -> Samples:
    """Samples every operation once a round, each for about ``seconds`` of processor time."""
    counts = {name: _count_for(operation, seconds) for name, operation in operations.items()}
    rates: dict[str, list[float]] = {name: [] for name in operations}
    for _ in range(rounds):
        for name, operation in operations.items():
            rates[name].append(measure_rate(operation, counts[name]))
    return Samples(rates)


def _count_for(operation: Operation, seconds: float) -> int:
    """How many operations take ``seconds``; warms the operation up on the way."""
    count = 1
    while True:
        took = count / measure_rate(operation, count)
        if took >= seconds / 4:
            return max(1, round(count * seconds / took))
        count *= 4
