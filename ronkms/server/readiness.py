"""Whether the server serves: evaluated in the background, answered from memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from ronkms.server.board import ADMIN_ROW, ProcessBoard, Stage

STALE_SECONDS: Final = 10.0
"""An evaluation older than this means that one of the checks hangs."""

_log = structlog.get_logger()


class Readiness:
    """``evaluate`` may take its time (a backend may hang); ``missing`` never does."""

    def __init__(
        self, check: Callable[[], list[str]], board: ProcessBoard, *, on_change: Callable[[list[str]], None]
    ) -> None:
        self._check = check
        self._board = board
        self._on_change = on_change
        self._found: list[str] = ["readiness was not evaluated yet"]
        self._evaluated_at = time.monotonic()
        self._last: list[str] | None = None

    def evaluate(self) -> None:
        """Asks every part, and tells the board."""
        self._found = self._check()
        self._evaluated_at = time.monotonic()
        missing = self.missing()
        if not self._board.draining:
            self._board.advance(ADMIN_ROW, Stage.SERVING if missing else Stage.READY)
        if missing != self._last:
            self._last = missing
            _log.info("readiness", ready=not missing, missing=", ".join(missing) or None)
            self._on_change(missing)

    def missing(self) -> list[str]:
        """What keeps ``/readyz`` from 200; empty when the server serves."""
        if self._board.draining:
            return ["draining"]
        missing = list(self._found)
        serving = self._board.serving_workers
        if serving < self._board.workers:
            missing.append(f"workers: {serving} of {self._board.workers} serve")
        if time.monotonic() - self._evaluated_at > STALE_SECONDS:
            missing.append("readiness: a check hangs")
        return missing
