"""Closed connections that are read on for a while, so that the answer is not lost to a reset.

RFC 9112 section 9.6: a server that closes while the client still sends makes the kernel answer with a reset,
which may take the answer out of the client's hands. They wait in the poller, not in a thread.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from ronkms.server.connection import Connection

LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 1 << 20
"""A connection is read on for this long and this far."""


class Lingering:
    """Of the main thread alone. ``forget`` ends a connection for good."""

    def __init__(self, forget: Callable[[Connection], None]) -> None:
        self._forget = forget
        self._waiting: deque[Connection] = deque()

    def add(self, conn: Connection, poller: selectors.BaseSelector) -> None:
        """Closes the connection for writing and reads on."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            poller.register(conn.sock, selectors.EVENT_READ, partial(self._read_on, conn))
        except (OSError, ValueError):
            self._forget(conn)
            return
        conn.timeout = time.monotonic() + LINGER_SECONDS
        self._waiting.append(conn)

    def end_late(self, now: float) -> None:
        """Ends those whose time is up; ``now`` as ``time.monotonic()``."""
        while self._waiting and (self._waiting[0].timeout or 0.0) <= now:
            self._forget(self._waiting.popleft())

    def _read_on(self, conn: Connection, client: socket.socket) -> None:
        try:
            data = client.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        conn.linger_bytes += len(data)
        if not data or conn.linger_bytes > LINGER_BYTES:
            self._waiting.remove(conn)
            self._forget(conn)
