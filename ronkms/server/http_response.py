"""What an HTTP answer of the API carries besides what the application gave."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from gunicorn.config import Config
from gunicorn.http import Request
from gunicorn.http.wsgi import Response

if TYPE_CHECKING:
    from ronkms.server.worker import KmsWorker

SERVER_NAME: Final = "ron-kms"
ONE_PACKET: Final = 65536
"""Bytes of a body that is copied behind its headers; a larger one is not worth the copy."""
_CLOSE: Final = ("Connection", "close")


class KmsResponse(Response):
    """``Server: ron-kms``; ``Connection: close`` when the application asks for it or the worker drains."""

    def __init__(self, req: Request, sock: socket.socket, cfg: Config, worker: KmsWorker) -> None:
        super().__init__(req, sock, cfg)
        self.version = SERVER_NAME
        self._worker = worker

    def process_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        """gunicorn drops hop-by-hop headers; a ``("Connection", "close")`` is meant."""
        if _CLOSE in headers:
            self.force_close()
        super().process_headers(headers)

    def write(self, arg: bytes) -> None:
        """A small body that is whole leaves with its headers: one packet, one system call."""
        whole = self.response_length == len(arg) <= ONE_PACKET and not self._omits_body  # type: ignore[attr-defined]
        if self.headers_sent or not whole:
            super().write(arg)
            return
        lines = [*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers), "\r\n"]
        self.headers_sent = True
        self.sent = len(arg)
        self.sock.sendall("".join(lines).encode("latin-1") + arg)

    def should_close(self) -> bool:
        """Decided when the headers leave, not when the request came."""
        return not self._worker.alive or bool(super().should_close())
