"""What the admin process does now and then, in one background thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

_log = structlog.get_logger()


@dataclass(slots=True)
class Chore:
    """``work`` every ``seconds``; a failure is logged and tried again at the next turn."""

    name: str
    seconds: float
    work: Callable[[], object]
    due: float = 0.0


class Chores:
    """Runs chores one after another; a late one is not made up for."""

    def __init__(self, chores: list[Chore]) -> None:
        self._chores = chores
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chores", daemon=True)

    def start(self) -> None:
        """Begins at once with each."""
        self._thread.start()

    def stop(self) -> None:
        """Lets the running chore finish, for a second at most."""
        self._stop.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            now = time.monotonic()
            for chore in self._chores:
                if chore.due <= now and not self._stop.is_set():
                    self._do(chore)
                    chore.due = time.monotonic() + chore.seconds
            pause = min(chore.due for chore in self._chores) - time.monotonic()
            self._stop.wait(max(pause, 0.0))

    @staticmethod
    def _do(chore: Chore) -> None:
        try:
            chore.work()
        except Exception:  # noqa: BLE001  # a chore must not end the others
            _log.exception("chore_failed", chore=chore.name)
