"""Time for expiry: the wall clock, held against a clock that nobody can set.

A capability expires at a wall-clock date. So that a wall clock set back does not revive or lengthen a
token that this process has seen, time since then is also counted by CLOCK_BOOTTIME (monotonic, counts
suspends), and the later of the two says what time it is.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two sources of seconds."""

    def wall(self) -> float:
        """Unix time in seconds."""

    def elapsed(self) -> float:
        """Seconds since an arbitrary moment; never set, never goes back."""


class SystemClock:
    """The clocks of the machine."""

    def wall(self) -> float:
        """CLOCK_REALTIME."""
        return time.time()

    def elapsed(self) -> float:
        """CLOCK_BOOTTIME."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class FixedClock:
    """One moment, for questions about another time than now."""

    def __init__(self, unix: float) -> None:
        self._unix = unix

    def wall(self) -> float:
        """The moment, Unix seconds."""
        return self._unix

    def elapsed(self) -> float:
        """The same."""
        return self._unix


class ForwardTime:
    """Unix time that only goes forward from the moment it was made."""

    __slots__ = ("_clock", "_offset")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.wall() - clock.elapsed()

    @property
    def offset(self) -> float:
        """What is added to :meth:`Clock.elapsed` to get Unix time, in seconds."""
        return self._offset

    def now(self) -> int:
        """Whole Unix seconds: the wall clock, or what it would be had nobody set it back."""
        return int(max(self._clock.wall(), self._offset + self._clock.elapsed()))
