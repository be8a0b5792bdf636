"""HTTP/1.1 to the decision point: one POST within one deadline, over connections that are kept.

Redirects are not followed and proxies of the environment not used: facts go where the configuration says.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from http.client import HTTPConnection, HTTPException, HTTPResponse, RemoteDisconnected
from threading import BoundedSemaphore, Lock
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from ronkms.policy.external.answer import MAX_ANSWER
from ronkms.policy.external.credentials import BearerToken, ClientTls
from ronkms.policy.external.deadline_stream import DeadlineStream
from ronkms.policy.external.name_lookup import Endpoint, NameLookup

USER_AGENT: Final = "ron-kms"
_PORTS: Final = {"http": 80, "https": 443}


class Fault(StrEnum):
    """Why there is no decision; docs/formats/external-policy.md."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    BAD_ANSWER = "bad_answer"
    BUSY = "busy"
    BREAKER_OPEN = "breaker_open"
    TOO_MANY_KEYS = "too_many_keys"

    @property
    def number(self) -> int:
        """From 1, for where there is room for a number only."""
        return 1 + list(Fault).index(self)


class PointError(Exception):
    """No usable answer; the message says why and holds no part of it."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class DecisionPoint:
    """Shared by the threads of one process; to be made anew after a fork."""

    def __init__(
        self, url: str, *, connections: int, tls: ClientTls | None, token: BearerToken | None
    ) -> None:
        """``url`` is checked (``config.contradiction``). ``connections``: at most, each for one question."""
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._path = parts.path or "/"
        self._authority = parts.netloc
        self._names = NameLookup(self._host, parts.port or _PORTS[parts.scheme])
        self._tls = tls
        self._token = token
        self._places = BoundedSemaphore(connections)
        self._lock = Lock()
        self._idle: list[_Connection] = []

    def ask(self, body: bytes, deadline: float) -> bytes:
        """The body of a 200. ``deadline``: as ``time.monotonic``. Raises :class:`PointError`."""
        if not self._places.acquire(timeout=max(deadline - monotonic(), 0.0)):
            raise PointError(Fault.BUSY, "all connections are in use")
        try:
            return self._ask(body, deadline)
        except TimeoutError as error:
            raise PointError(Fault.TIMEOUT, str(error) or "not answered in time") from None
        except OSError as error:
            raise PointError(Fault.UNREACHABLE, error.strerror or str(error)) from None
        except HTTPException as error:
            raise PointError(Fault.BAD_ANSWER, f"not HTTP: {type(error).__name__}") from None
        finally:
            self._places.release()

    def close(self) -> None:
        """Ends the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _ask(self, body: bytes, deadline: float) -> bytes:
        kept = self._take_idle(deadline)
        if kept is not None:
            try:
                return self._exchange(kept, body)
            except (ConnectionError, RemoteDisconnected):
                # It was closed while idle. Nothing was answered, so it may be asked again: once, afresh.
                pass
        return self._exchange(self._connect(deadline), body)

    def _exchange(self, connection: _Connection, body: bytes) -> bytes:
        try:
            response = connection.post(self._path, body, self._headers())
            answer = _read(response)
        except BaseException:
            connection.close()
            raise
        if response.isclosed() and not response.will_close:
            with self._lock:
                self._idle.append(connection)
        else:
            connection.close()
        return answer

    def _headers(self) -> dict[str, str]:
        headers = {
            "Host": self._authority,
            "User-Agent": USER_AGENT,
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        if self._token is not None:
            headers["Authorization"] = self._token.header()
        return headers

    def _take_idle(self, deadline: float) -> _Connection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.quiet():
                connection.stream.deadline = deadline
                return connection
            connection.close()

    def _connect(self, deadline: float) -> _Connection:
        endpoints = self._names.endpoints(deadline)
        error: OSError = OSError("no address")
        for tried, endpoint in enumerate(endpoints):
            # Each address gets its part of the time, so that one which swallows packets does not take all.
            share = (deadline - monotonic()) / (len(endpoints) - tried)
            try:
                return _Connection(self._host, self._open(endpoint, monotonic() + share), deadline)
            except OSError as raised:
                error = raised
        raise error

    def _open(self, endpoint: Endpoint, deadline: float) -> socket.socket:
        plain = socket.socket(endpoint.family, socket.SOCK_STREAM)
        try:
            plain.settimeout(_left(deadline))
            plain.connect(endpoint.address)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is None:
                return plain
            plain.settimeout(_left(deadline))  # of the whole handshake
            return self._tls.current().wrap_socket(plain, server_hostname=self._host)
        except BaseException:
            plain.close()
            raise


class _Connection:
    """One kept connection."""

    def __init__(self, host: str, connected: socket.socket, deadline: float) -> None:
        self.stream = DeadlineStream(connected, deadline)
        self._http = HTTPConnection(host)
        self._http.auto_open = 0
        self._http.sock = self.stream

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> HTTPResponse:
        """Its head is read. Raises OSError, HTTPException."""
        self._http.request("POST", path, body, headers)
        return self._http.getresponse()

    def quiet(self) -> bool:
        """Whether an idle connection is open, and nothing has come that nobody asked for."""
        poll = select.poll()
        poll.register(self.stream.fileno(), select.POLLIN | select.POLLPRI)
        return not poll.poll(0)

    def close(self) -> None:
        """Ends it."""
        for end in (self._http.close, self.stream.end):
            _close_quietly(end)


def _read(response: HTTPResponse) -> bytes:
    if response.status != 200:
        raise PointError(Fault.BAD_ANSWER, f"it answers {response.status}")
    promised = response.length
    if promised is not None and promised > MAX_ANSWER:
        raise PointError(Fault.BAD_ANSWER, f"its answer is over {MAX_ANSWER} bytes")
    body = response.read(MAX_ANSWER + 1)
    if len(body) > MAX_ANSWER:
        raise PointError(Fault.BAD_ANSWER, f"its answer is over {MAX_ANSWER} bytes")
    if promised is not None and len(body) != promised:
        raise PointError(Fault.BAD_ANSWER, "its answer is cut short")
    return body


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError("not connected in time")
    return left


def _close_quietly(close: Callable[[], object]) -> None:
    with suppress(OSError):
        close()
