"""A circuit breaker: closed, open for a while after failures in a row, then one try. No I/O.

Invariants: while open nothing passes; of all that come after the cool-down one passes, until its end is
reported; what was let through before the last change of state says nothing about the present one.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from threading import Lock
from time import monotonic
from typing import NewType

Pass = NewType("Pass", int)
"""Lets one call through; to be handed back by ``succeeded``, ``failed`` or ``unused``, once."""


class BreakerState(IntEnum):
    """By number, for the board of processes."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class BreakerOpenError(Exception):
    """Nothing passes now; ``seconds`` until something may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"open for {seconds:.1f} s")
        self.seconds = seconds


class Breaker:
    """One a process, shared by its threads. The lock is never held over a call."""

    def __init__(self, failures: int, cooldown: float, clock: Callable[[], float] = monotonic) -> None:
        """Opens for ``cooldown`` seconds after ``failures`` in a row."""
        self._failures = failures
        self._cooldown = cooldown
        self._clock = clock
        self._lock = Lock()
        self._state = BreakerState.CLOSED
        self._term = 0
        """Counts the changes of state."""
        self._failed = 0
        self._open_until = 0.0

    @property
    def state(self) -> BreakerState:
        """OPEN until the next try, also after the cool-down."""
        return self._state

    def enter(self) -> Pass:
        """Raises :class:`BreakerOpenError`."""
        with self._lock:
            if self._state is BreakerState.CLOSED:
                return Pass(self._term)
            wait = self._open_until - self._clock()
            if self._state is BreakerState.HALF_OPEN or wait > 0:
                raise BreakerOpenError(max(wait, 0.0))
            self._change(BreakerState.HALF_OPEN)
            return Pass(self._term)

    def succeeded(self, passed: Pass) -> bool:
        """The call was answered. True if that closed the breaker."""
        with self._lock:
            if passed != self._term:
                return False
            self._failed = 0
            closes = self._state is BreakerState.HALF_OPEN
            if closes:
                self._change(BreakerState.CLOSED)
            return closes

    def failed(self, passed: Pass) -> bool:
        """The call was not answered. True if that opened the breaker."""
        with self._lock:
            if passed != self._term:
                return False
            self._failed += 1
            if self._state is BreakerState.CLOSED and self._failed < self._failures:
                return False
            self._change(BreakerState.OPEN)
            self._failed = 0
            self._open_until = self._clock() + self._cooldown
            return True

    def unused(self, passed: Pass) -> None:
        """The call was not made after all: the next one may try."""
        with self._lock:
            if passed == self._term and self._state is BreakerState.HALF_OPEN:
                self._change(BreakerState.OPEN)

    def _change(self, state: BreakerState) -> None:
        self._state = state
        self._term += 1
