"""One HTTP/1.1 exchange with full control over the bytes sent, however malformed they are."""

from __future__ import annotations

import io
import json
import select
import socket
import time
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

CHUNK = 1 << 16


@dataclass(frozen=True)
class Answer:
    """What the server sent. ``headers`` compares names case-insensitively."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class _ReceivedBytes:
    """Looks like a socket to :class:`HTTPResponse`."""

    def __init__(self, received: bytes) -> None:
        self._received = received

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._received)


def request(
    method: str, target: str, headers: list[tuple[str, str]], body: bytes = b"", *, length: bool = True
) -> bytes:
    """The bytes of a request; header values may hold what no client library would send.

    ``length`` adds a true Content-Length. A header named twice is sent twice.
    """
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: 127.0.0.1",
        *(f"{name}: {value}" for name, value in headers),
    ]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(body: bytes, size: int = 4096) -> bytes:
    """``body`` in the chunked transfer coding (RFC 9112 section 7.1)."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def exchange(url: str, raw: bytes, *, timeout: float = 10.0, half_close: bool = False) -> Answer:
    """Sends ``raw`` and reads one answer, also one that comes before all is sent.

    ``half_close`` ends the sending side when all is sent.

    Raises ConnectionError if the server closes without an answer, TimeoutError after ``timeout`` seconds.
    """
    parts = urlsplit(url)
    received = b""
    view = memoryview(raw)
    deadline = time.monotonic() + timeout
    with socket.create_connection((parts.hostname, parts.port), timeout=timeout) as connection:
        connection.setblocking(False)
        while time.monotonic() < deadline:
            readable, writable, _ = select.select([connection], [connection] if view else [], [], 0.2)
            if readable:
                try:
                    piece = connection.recv(CHUNK)
                except ConnectionResetError:
                    piece = b""
                received += piece
                if not piece or _complete(received):
                    return _parse(received)
            elif writable:
                try:
                    view = view[connection.send(view[:CHUNK]) :]
                except (BrokenPipeError, ConnectionResetError):
                    view = view[:0]
                if half_close and not view:
                    connection.shutdown(socket.SHUT_WR)
    raise TimeoutError(f"no complete answer within {timeout} s; got {received[:200]!r}")


def _complete(received: bytes) -> bool:
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator:
        return False
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(body) >= int(value)
    return head.split(b" ", 2)[1] in (b"204", b"304")


def _parse(received: bytes) -> Answer:
    if not received:
        raise ConnectionError("the server closed the connection without an answer")
    response = HTTPResponse(_ReceivedBytes(received))  # type: ignore[arg-type]
    response.begin()
    return Answer(response.status, response.headers, response.read())
