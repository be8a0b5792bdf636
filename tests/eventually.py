"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

SECONDS: Final = 60.0
"""How long anything may take on a loaded machine."""


def eventually(
    condition: Callable[[], object], what: str = "it did not happen", *, pause: float = 0.02
) -> float:
    """Asks every ``pause`` seconds until ``condition`` holds; how long it took, in seconds.

    Raises AssertionError with ``what`` after ``SECONDS``."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + SECONDS, what
        time.sleep(pause)
    return time.monotonic() - began
