"""A sink in memory that fails when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ronkms.audit.follower import Followed
from ronkms.errors import Unavailable
from ronkms.journal.durable_file import SyncError


class FakeTransport:
    """``taken`` are the numbers of the records that arrived; the set events make it refuse, hang or lose."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.lines: list[bytes] = []
        self.flushed = 0
        self.opened = 0
        self.refuses = threading.Event()
        self.gone = threading.Event()
        self.loses = threading.Event()
        self.free = threading.Event()
        self.free.set()
        self.at_once = 1_000_000
        self.fails_once_at: set[int] = set()
        """Numbers of records whose first delivery breaks the connection."""

    def open(self) -> None:
        self.opened += 1
        if self.refuses.is_set():
            raise Unavailable("connection refused")

    def deliver(self, records: Sequence[Followed]) -> int:
        self.free.wait()
        if self.refuses.is_set():
            raise ConnectionResetError(104, "Connection reset by peer")
        taken = records[: self.at_once]
        if breaking := self.fails_once_at.intersection(record.number for record in taken):
            self.fails_once_at -= breaking
            raise BrokenPipeError(32, "Broken pipe")
        self.taken += [record.number for record in taken]
        self.lines += [record.line for record in taken]
        return len(taken)

    def check(self) -> None:
        if self.gone.is_set():
            raise Unavailable("the peer closed the connection")

    def flush(self) -> None:
        if self.loses.is_set():
            self.loses.clear()
            raise SyncError(5, "Input/output error")
        self.flushed = len(self.taken)

    def close(self) -> None:
        """Nothing to give back."""
