"""A process beside the workers, as the arbiter knows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Attendant:
    """One of its kind: replaced when it dies, stopped by SIGQUIT after the workers.

    ``run`` is its main function; ``row`` its place on the board; ``pid`` is 0 and ``slot`` -1 without one."""

    role: str
    row: int
    run: Callable[[], None]
    pid: int = 0
    slot: int = -1
