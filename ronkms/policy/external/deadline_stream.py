"""A connected socket whose every step ends at one deadline, in the shape that ``http.client`` wants.

A socket's own time-out begins anew with each byte; a peer that drips would hold a thread for as long as it
likes.
"""

from __future__ import annotations

import io
import socket
from time import monotonic


class DeadlineStream:
    """``deadline`` as ``time.monotonic``; to be set before each use of the connection."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket = connected
        self.deadline = deadline

    def left(self) -> float:
        """Seconds. Raises TimeoutError when there are none."""
        left = self.deadline - monotonic()
        if left <= 0:
            raise TimeoutError("not answered in time")
        return left

    def fileno(self) -> int:
        """Of the socket."""
        return self._socket.fileno()

    def sendall(self, data: bytes) -> None:
        """Raises OSError, TimeoutError."""
        self._socket.settimeout(self.left())  # for all of it, as of Python 3.5
        self._socket.sendall(data)

    def receive_into(self, buffer: memoryview) -> int:
        """Bytes read; 0 at the end. Raises OSError, TimeoutError."""
        self._socket.settimeout(self.left())
        return self._socket.recv_into(buffer)

    def makefile(self, mode: str = "rb") -> io.BufferedReader:
        """What ``http.client`` reads the answer from; ``mode`` is always ``rb``."""
        del mode
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Does nothing: ``http.client`` closes a connection that will not be kept before the answer is read,
        and means that the reader shall live on. See :meth:`end`."""

    def end(self) -> None:
        """Ends the connection."""
        self._socket.close()


class _Reader(io.RawIOBase):
    """Does not own the stream: the end of an answer is not that of the connection."""

    def __init__(self, stream: DeadlineStream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # io passes a memoryview
        return self._stream.receive_into(buffer)
