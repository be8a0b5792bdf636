"""How far the wall clock was moved since the server started.

Expiry of capabilities and attestations is wall-clock time. A step of the clock (NTP, an operator) shows
against the boot-time clock, which nobody sets.
"""

from __future__ import annotations

import time


class ClockSkew:
    """Made once at the start, before the forks; read by the admin process."""

    def __init__(self) -> None:
        self._offset = _offset()

    def seconds(self) -> float:
        """Seconds that the wall clock is ahead of where it would be by now; negative when behind."""
        return _offset() - self._offset


def _offset() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
