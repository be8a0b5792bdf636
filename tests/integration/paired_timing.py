"""Whether two kinds of call take different time, by many pairs of them in random order.

What is compared is the processor time of this thread, so that other load on the machine counts little. The
median of the differences has an interval from their ranks alone (that of the sign test): it holds for any
distribution, and one outlier weighs no more than any other value.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable
from typing import Final, NamedTuple

Z: Final = 4.5
"""Half width of an interval in standard deviations: one in 150,000 is wrong."""
STEP: Final = 1000
"""Pairs before each look at the interval."""


class Difference(NamedTuple):
    """Median of first minus second, in microseconds, and the interval that holds it."""

    low: float
    median: float
    high: float
    pairs: int

    def within(self, limit: float) -> bool:
        """Surely smaller than ``limit``, in either direction."""
        return -limit < self.low and self.high < limit

    def beyond(self, limit: float) -> bool:
        """Surely at least ``limit``, in one direction."""
        return self.low >= limit or self.high <= -limit

    def __str__(self) -> str:
        return f"{self.median:+.2f} us ({self.low:+.2f} to {self.high:+.2f}, {self.pairs} pairs)"


def difference(
    first: Callable[[int], None],
    second: Callable[[int], None],
    *,
    limit: float,
    most: int,
    least: int = STEP,
) -> Difference:
    """Goes on until the difference is surely within or beyond ``limit`` microseconds, or for ``most`` pairs.

    Each is called with the number of the pair. ``least``: pairs that are made in any case."""
    dice = random.Random()
    differences: list[int] = []
    collects = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        while True:
            for number in range(len(differences), len(differences) + STEP):
                if dice.random() < 0.5:
                    one, other = _nanoseconds(first, number), _nanoseconds(second, number)
                else:
                    other, one = _nanoseconds(second, number), _nanoseconds(first, number)
                differences.append(one - other)
            found = _interval(differences)
            decided = found.within(limit) or found.beyond(limit)
            if (decided and found.pairs >= least) or found.pairs >= most:
                return found
    finally:
        if collects:
            gc.enable()


def spin(microseconds: float) -> None:
    """Uses the processor for so long: what a positive control adds."""
    end = time.thread_time_ns() + int(microseconds * 1000)
    while time.thread_time_ns() < end:
        pass


def _nanoseconds(call: Callable[[int], None], number: int) -> int:
    started = time.thread_time_ns()
    call(number)
    return time.thread_time_ns() - started


def _interval(differences: list[int]) -> Difference:
    ordered = sorted(differences)
    count = len(ordered)
    reach = math.ceil(Z * math.sqrt(count) / 2)
    middle = count // 2
    low, high = ordered[max(middle - reach, 0)], ordered[min(middle + reach, count - 1)]
    return Difference(low / 1000, ordered[middle] / 1000, high / 1000, count)
