"""Connections whose next request has begun and whose head is not here yet: they wait in the poller.

A thread that finds a head, or a TLS handshake, incomplete lets the connection go at once, so that whoever
sends slowly holds none. No capability has been seen by then: anybody can do this.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from ronkms.server.connection import Connection


class Arriving:
    """Of the main thread alone. A head is due ``seconds`` after it was first found incomplete."""

    def __init__(
        self,
        seconds: float,
        *,
        more: Callable[[Connection], None],
        late: Callable[[Connection], None],
        gone: Callable[[Connection], None],
    ) -> None:
        """``more``: something came; ``late``: the head is overdue; ``gone``: it cannot be waited for."""
        self._seconds = seconds
        self._more, self._late, self._gone = more, late, gone
        self._due: deque[tuple[float, Connection]] = deque()
        self._waiting: set[Connection] = set()

    def add(self, conn: Connection, poller: selectors.BaseSelector) -> None:
        """Waits for more. Its socket does not block."""
        now = time.monotonic()
        if not conn.head_due:
            conn.head_due = now + self._seconds
            self._due.append((conn.head_due, conn))
        if conn.head_due <= now:
            self._late(conn)
            return
        try:
            poller.register(conn.sock, selectors.EVENT_READ, partial(self._on_more, conn, poller))
        except (OSError, ValueError):
            self._gone(conn)
            return
        self._waiting.add(conn)

    def _on_more(self, conn: Connection, poller: selectors.BaseSelector, client: socket.socket) -> None:
        poller.unregister(client)
        self._waiting.remove(conn)
        self._more(conn)

    def end_late(self, now: float, poller: selectors.BaseSelector) -> None:
        """Ends those whose time is up; ``now`` as ``time.monotonic()``. A thread may have one."""
        while self._due and self._due[0][0] <= now:
            due, conn = self._due.popleft()
            if conn in self._waiting and conn.head_due == due:
                self._waiting.remove(conn)
                poller.unregister(conn.sock)
                self._late(conn)
