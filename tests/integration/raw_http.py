"""HTTP/1.1 over a plain socket: half requests, many connections, exact answers."""

from __future__ import annotations

import json
import select
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Reply:
    """One answer. Header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class RawConnection:
    """One connection to the API of ``url``; reads time out after ``timeout`` seconds."""

    def __init__(self, url: str, *, timeout: float = 10.0, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self.sock: socket.socket = socket.create_connection((parts.hostname, parts.port), timeout=timeout)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname=parts.hostname)
        self._buffer = b""

    def send(self, data: bytes) -> Self:
        """Writes bytes as they are."""
        self.sock.sendall(data)
        return self

    def send_head(
        self, method: str, path: str, token: str, length: int = 0, *, more: tuple[str, ...] = ()
    ) -> Self:
        """A request without its body; ``more`` are further header lines."""
        return self.send(_head(method, path, token, length, more))

    def request(
        self, method: str, path: str, token: str, body: bytes = b"", *, more: tuple[str, ...] = ()
    ) -> Reply:
        """A whole exchange."""
        return self.send(_head(method, path, token, len(body), more) + body).reply()

    def reply(self) -> Reply:
        """Reads one answer. Raises ConnectionError when the connection ends before."""
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(self._buffer) < length:
            self._more()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Reply(int(first.split(" ")[1]), headers, body)

    def closed_by_server(self) -> bool:
        """Waits for the end of the connection; False if the read times out or brings bytes."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def is_open(self) -> bool:
        """True if the server has neither sent anything nor ended the connection."""
        return not select.select([self.sock], [], [], 0)[0]

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._buffer += data

    def close(self) -> None:
        """Closes it."""
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _head(method: str, path: str, token: str, length: int, more: tuple[str, ...]) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: kms",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        *more,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
