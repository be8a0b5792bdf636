"""Addresses of a host name within a deadline, which the C library's lookup does not know.

The lookup runs in a thread of its own, one at a time whoever waits for it; who cannot wait longer takes what
was found before.
"""

from __future__ import annotations

import socket
from threading import Condition, Thread
from time import monotonic
from typing import Any, Final, NamedTuple

FRESH_SECONDS: Final = 30.0
"""How long a found address is taken without asking again."""


class Endpoint(NamedTuple):
    """As ``socket.getaddrinfo`` gives it."""

    family: int
    address: Any


class NameLookup:
    """Shared by the threads of one process; to be made anew after a fork."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._changed = Condition()
        self._found: list[Endpoint] = []
        self._found_at = float("-inf")
        self._error: OSError | None = None
        self._running = False

    def endpoints(self, deadline: float) -> list[Endpoint]:
        """Never empty. ``deadline``: as ``time.monotonic``. Raises OSError, TimeoutError."""
        with self._changed:
            if monotonic() - self._found_at < FRESH_SECONDS:
                return self._found
            if not self._running:
                self._running, self._error = True, None
                Thread(target=self._look_up, name="policy-name-lookup", daemon=True).start()
            while self._running and (left := deadline - monotonic()) > 0:
                self._changed.wait(left)
            if self._found:
                return self._found
            if self._error is not None:
                raise OSError(f"{self._host} is not found: {self._error.strerror or self._error}")
        raise TimeoutError(f"{self._host} is not found in time")

    def _look_up(self) -> None:
        found: list[Endpoint] = []
        error: OSError | None = None
        try:
            for family, _, _, _, address in socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM
            ):
                found.append(Endpoint(family, address))
        except OSError as raised:
            error = raised
        except UnicodeError:
            error = OSError("not a host name")
        with self._changed:
            self._running, self._error = False, error
            if found:
                self._found, self._found_at = found, monotonic()
            self._changed.notify_all()
