"""Sinks that are syslog servers: datagrams, local or UDP, and octet-counted streams, TCP or TLS."""

from __future__ import annotations

import fcntl
import os
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from ronkms.audit.follower import Followed
from ronkms.audit.sinks.rfc5424 import MessageMaker, octet_counted
from ronkms.domain.audit_sink import Target
from ronkms.errors import Unavailable

_SIOCOUTQ: Final = 0x5411
"""linux/sockios.h: bytes that the peer has not acknowledged."""
_FIRST_PAUSE: Final = 0.0002
_LONGEST_PAUSE: Final = 0.01
_DRAINED_BYTES: Final = 1 << 16


class DatagramTransport:
    """Implements ``transport.Transport``: a datagram for each record."""

    def __init__(
        self, target: Target, maker: MessageMaker, timeout: float, count_cut: Callable[[], None]
    ) -> None:
        """``timeout`` in seconds: for room in the socket's queue."""
        self._target = target
        self._maker = maker
        self._timeout = timeout
        self._count_cut = count_cut
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Over UDP this reaches nobody yet."""
        self._socket = self._connect()

    def deliver(self, records: Sequence[Followed]) -> int:
        """As many as the socket takes."""
        assert self._socket is not None  # noqa: S101
        for position, record in enumerate(records):
            message = self._maker.make(record)
            try:
                self._socket.send(message.data)
            except OSError:
                if position:
                    return position
                raise
            if message.cut:
                self._count_cut()
        return len(records)

    def check(self) -> None:
        """UDP: whether an ICMP error came back. Local: whether the socket of that name still listens."""
        assert self._socket is not None  # noqa: S101
        if self._target.kind == "unix":
            self._connect().close()
        elif code := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(code, os.strerror(code))

    def flush(self) -> None:
        """Nothing is kept here."""

    def close(self) -> None:
        """See ``transport.Transport``."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _connect(self) -> socket.socket:
        target = self._target
        if target.kind == "unix":
            family, address = socket.AF_UNIX, target.path
        else:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_DGRAM)
            family, address = found[0][0], found[0][4]  # type: ignore[assignment]
        made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            made.settimeout(self._timeout)
            made.connect(address)
        except BaseException:
            made.close()
            raise
        return made


class StreamTransport:
    """Implements ``transport.Transport``: frames over TCP, with TLS if ``context`` is given.

    Delivered is what the peer's TCP has acknowledged. What it had acknowledged and not read when the
    connection broke is unknown, so the last ``resend`` messages go out again first."""

    def __init__(
        self,
        target: Target,
        maker: MessageMaker,
        timeout: float,
        count_cut: Callable[[], None],
        *,
        resend: int,
        context: Callable[[], ssl.SSLContext] | None,
    ) -> None:
        """``timeout`` in seconds: for the connection, for room in it, and for an acknowledgement."""
        self._target = target
        self._maker = maker
        self._timeout = timeout
        self._count_cut = count_cut
        self._context = context
        self._recent: deque[bytes] = deque(maxlen=resend)
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Connects, and sends again what the last connection may have taken with it."""
        target = self._target
        made = socket.create_connection((target.host, target.port), self._timeout)
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._timeout * 1000))
            if self._context is not None:
                made = self._context().wrap_socket(made, server_hostname=target.host)
            self._socket = made
            if self._recent:
                self._send(self._recent)
        except BaseException:
            made.close()
            raise

    def deliver(self, records: Sequence[Followed]) -> int:
        """All of them."""
        messages = [self._maker.make(record) for record in records]
        frames = [octet_counted(message.data) for message in messages]
        self._send(frames)
        self._recent.extend(frames)
        for _ in filter(lambda message: message.cut, messages):
            self._count_cut()
        return len(records)

    def check(self) -> None:
        """Whether the peer has closed. What it says is of no use."""
        assert self._socket is not None  # noqa: S101
        self._socket.settimeout(0)
        try:
            for _ in range(_DRAINED_BYTES >> 12):
                if not self._socket.recv(4096):
                    raise Unavailable("the peer closed the connection")
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        finally:
            self._socket.settimeout(self._timeout)

    def flush(self) -> None:
        """Nothing is kept here."""

    def close(self) -> None:
        """See ``transport.Transport``."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
        self._socket = None

    def _send(self, frames: Iterable[bytes]) -> None:
        assert self._socket is not None  # noqa: S101
        self._socket.settimeout(self._timeout)
        self._socket.sendall(b"".join(frames))
        deadline = time.monotonic() + self._timeout
        pause = _FIRST_PAUSE
        while unacknowledged(self._socket):
            self.check()
            if time.monotonic() > deadline:
                raise Unavailable(f"the peer has acknowledged nothing for {self._timeout:g} s")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        self.check()


def unacknowledged(connection: socket.socket) -> int:
    """Bytes in the send queue of a TCP connection that the peer has not acknowledged. Raises OSError."""
    answer = fcntl.ioctl(connection.fileno(), _SIOCOUTQ, bytes(4))
    (waiting,) = struct.unpack("i", answer)
    return int(waiting)
