"""One client connection of a worker, with the times by which it is cut or shed."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Hashable
from typing import Any, Final

from gunicorn.config import Config
from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.errors import InvalidRequestLine, LimitRequestHeaders, NoMoreData
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import Unreader
from gunicorn.sock import ssl_wrap_socket
from gunicorn.workers.gthread import TConn

from ronkms.server.tls import client_fingerprint

HEAD_LIMIT: Final = 64 * 1024
"""Longest head, in bytes, that is waited for."""
LONGEST_SKIPPED: Final = 64 * 1024
"""Of a body that nobody reads, in bytes; a connection with more of it ends."""
_READ: Final = 8192
_HEAD_END: Final = b"\r\n\r\n"
_LAST_DATA_RECEIVED: Final = struct.Struct("=I")
_LAST_DATA_RECEIVED_AT: Final = 52
_TCP_INFO_BYTES: Final = 56
"""``struct tcp_info`` of linux/tcp.h: eight bytes, then words; the twelfth is ``tcpi_last_data_recv``."""


class Connection(TConn):
    """Times are ``time.monotonic()`` seconds. The thread that has a request alone writes ``started_at``,
    ``answering`` and ``incomplete``."""

    def __init__(
        self, cfg: Config, sock: socket.socket, client: Any, server: Any, keepalive_seconds: float
    ) -> None:
        super().__init__(cfg, sock, client, server)
        self._keepalive_seconds = keepalive_seconds
        self.queued_at = 0.0
        self.waited = 0.0
        """Seconds that the first request had waited in the kernel when the connection was accepted."""
        self.started_at: float | None = None
        """When a thread took the request; None while it waits or is done."""
        self.answering = False
        """The headers are read: the application has the request."""
        self.linger_bytes = 0
        self.tenant: Hashable = None
        """Whose request the last one was; None until one was authenticated."""
        self.of_many = False
        """It has carried requests of several tenants, as that of a proxy does: it is never parked."""
        self.fresh = False
        """It counts as one whose tenant is not known. Of the main thread alone."""
        self.parked_until = 0.0
        self.park = False
        """The last answer was a 429: not read before its Retry-After."""
        self.incomplete = False
        """Some of the head is missing (``gather``)."""
        self.head_due = 0.0
        """When the head that has begun must be here; 0 while none has."""
        self._head = bytearray()
        self._peer = str(client[0]) if isinstance(client, tuple) else ""
        self._fingerprint: str | None = None
        self._fingerprint_known = False

    @property
    def line(self) -> Hashable:
        """The line that its next request waits in: the last tenant's, or that of the peer's address."""
        return self._peer if self.tenant is None else self.tenant

    def authenticated(self, tenant: Hashable) -> None:
        """The request under way is ``tenant``'s."""
        if self.tenant is not None and self.tenant != tenant:
            self.of_many = True
        self.tenant = tenant

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 (hex) of the client's certificate; None without one."""
        if not self._fingerprint_known:
            self._fingerprint_known = True
            if isinstance(self.sock, ssl.SSLSocket):
                self._fingerprint = client_fingerprint(self.sock)
        return self._fingerprint

    def set_timeout(self) -> None:
        """The connection idles from now on."""
        self.timeout = time.monotonic() + self._keepalive_seconds

    def has_read_ahead(self) -> bool:
        """True if bytes of the next request were read with the last one: the socket does not show them."""
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return True
        return isinstance(self.parser, RequestParser) and bool(self.parser.unreader.buf.getvalue())

    def gather(self) -> bool:
        """Takes what is here of the TLS handshake and of the next request's head, and waits for nothing.

        The socket must not block. True: the whole head is here, and its parser reads no further. Raises
        NoMoreData at the end of the connection, LimitRequestHeaders, InvalidRequestLine for lines that end
        with a bare LF, OSError with ssl.SSLError."""
        try:
            parser = self.parser if isinstance(self.parser, RequestParser) else self._begin()
            head = self._head
            if not head:
                head += parser.unreader.take_buffered()
            seen = 0
            while (end := head.find(_HEAD_END, max(0, seen - len(_HEAD_END)))) < 0:
                if len(head) > HEAD_LIMIT:
                    raise LimitRequestHeaders("the head is too long")
                if b"\n\n" in head:
                    raise InvalidRequestLine("bare LF")
                seen = len(head)
                data = self.sock.recv(_READ)
                if not data:
                    raise NoMoreData
                head += data
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        if end > HEAD_LIMIT:
            raise LimitRequestHeaders("the head is too long")
        parser.unreader.unread(bytes(head))
        head.clear()
        self.head_due = 0.0
        return True

    def finish_body(self, seconds: float) -> bool:
        """Skips what is unread of the body. False: it is not all here within ``seconds``, or long.

        What is here is skipped however late it is: this thread may have waited for the processor."""
        parser = self.parser
        if not isinstance(parser, RequestParser):
            return False
        deadline = time.monotonic() + seconds
        body: Any = parser.mesg.body if parser.mesg else None
        reader = body.reader if body else None
        if isinstance(reader, LengthReader) and not body.failed:
            return self._skip(parser.unreader, reader, deadline)
        if isinstance(reader, ChunkedReader) and reader.parser is None and not body.failed:
            return True
        return bool(parser.finish_body(deadline=deadline))  # type: ignore[func-returns-value]  # of the stub

    def _skip(self, unreader: Unreader, reader: LengthReader, deadline: float) -> bool:
        if not reader.length:
            return True
        ahead = unreader.take_buffered()
        unreader.unread(ahead[reader.length :])
        reader.length -= min(len(ahead), reader.length)
        longest = LONGEST_SKIPPED
        before = self.sock.gettimeout()
        try:
            while reader.length:
                self.sock.settimeout(max(deadline - time.monotonic(), 0.0))
                data = self.sock.recv(min(reader.length, _READ))
                if not data or len(data) > longest:
                    return False
                longest -= len(data)
                reader.length -= len(data)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            return False
        finally:
            self.sock.settimeout(before)
        return True

    def _begin(self) -> RequestParser:
        """In place of gunicorn's ``init``, whose handshake waits for the peer."""
        if self.cfg.is_ssl:
            if not isinstance(self.sock, ssl.SSLSocket):
                self.sock = ssl_wrap_socket(self.sock, self.cfg)
            self.sock.do_handshake()
        self.parser = RequestParser(self.cfg, self.sock, self.client)
        self.initialized = True
        return self.parser

    def has_data(self) -> bool:
        """True if the first byte of the request, or the end of the connection, is here. Non-blocking."""
        try:
            first = self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        if first:
            self.waited = _since_last_data(self.sock)
        return True


def _since_last_data(sock: socket.socket) -> float:
    """Seconds since the kernel got the last bytes from the peer; 0 if it cannot tell."""
    try:
        found = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return 0.0
    milliseconds: int = _LAST_DATA_RECEIVED.unpack_from(found, _LAST_DATA_RECEIVED_AT)[0]
    return milliseconds / 1000
