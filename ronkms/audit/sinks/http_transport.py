"""A sink that is an HTTP collector: batches of lines by POST; 2xx is the acknowledgement."""

from __future__ import annotations

import http.client
import re
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ronkms import __version__
from ronkms.audit.follower import Followed
from ronkms.audit.sinks.encoding import Encode
from ronkms.domain.audit_sink import AuditSink
from ronkms.errors import Unavailable

_ANSWER_MAX: Final = 1 << 20
_TOKEN_MAX: Final = 1 << 14
_TOKEN: Final = re.compile(rb"[\x21-\x7e]+")
_TOO_LARGE: Final = 413
_IDLE_RECONNECT_SECONDS: Final = 1.0
_CONTENT_TYPES: Final = {"jsonl": "application/x-ndjson", "ocsf": "application/x-ndjson"}
_PLAIN: Final = "text/plain; charset=utf-8"


class HttpTransport:
    """Implements ``transport.Transport``. Keeps one connection alive."""

    def __init__(
        self, sink: AuditSink, encode: Encode, *, context: Callable[[], ssl.SSLContext] | None
    ) -> None:
        """``context``: for https."""
        self._sink = sink
        self._target = sink.place
        self._encode = encode
        self._context = context
        self._limit = sink.batch_records
        self._connection: http.client.HTTPConnection | None = None
        self._token = ""
        self._used = False
        self._connected_at = 0.0

    def open(self) -> None:
        """Connects, and reads the token."""
        self._token = _read_token(self._sink.token_file)
        target, timeout = self._target, self._sink.timeout_ms / 1000
        if self._context is not None:
            self._connection = http.client.HTTPSConnection(
                target.host, target.port, timeout=timeout, context=self._context()
            )
        else:
            self._connection = http.client.HTTPConnection(target.host, target.port, timeout=timeout)
        self._connection.connect()
        self._connected_at = time.monotonic()
        self._used = False

    def deliver(self, records: Sequence[Followed]) -> int:
        """One request, as far as its limits go."""
        lines: list[bytes] = []
        size = 0
        for record in records[: self._limit]:
            line = self._encode(record) + b"\n"
            if lines and size + len(line) > self._sink.batch_bytes:
                break
            lines.append(line)
            size += len(line)
        first = records[0].number
        status = self._post(b"".join(lines), f"{first}-{first + len(lines) - 1}")
        if status == _TOO_LARGE and len(lines) > 1:
            self._limit = len(lines) // 2
            return self.deliver(records)
        if not 200 <= status <= 299:
            raise Unavailable(f"the collector answers {status}")
        self._limit = min(2 * self._limit, self._sink.batch_records)
        return len(lines)

    def check(self) -> None:
        """Whether the collector still listens, once it has closed the idle connection."""
        if self._closed() and time.monotonic() >= self._connected_at + _IDLE_RECONNECT_SECONDS:
            self.close()
            self.open()

    def flush(self) -> None:
        """Nothing is kept here."""

    def close(self) -> None:
        """See ``transport.Transport``."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _post(self, body: bytes, records: str) -> int:
        if self._closed():
            self.close()
            self.open()
        reused = self._used
        try:
            return self._request(body, records)
        except (ConnectionError, http.client.RemoteDisconnected):
            # A collector may close an idle connection just now: that is not its failure.
            if not reused:
                raise
        self.close()
        self.open()
        return self._request(body, records)

    def _request(self, body: bytes, records: str) -> int:
        assert self._connection is not None  # noqa: S101
        headers = {
            "Content-Type": _CONTENT_TYPES.get(self._sink.format, _PLAIN),
            "User-Agent": f"ron-kms/{__version__}",
            "Ron-Kms-Records": records,
            "Ron-Kms-Sink": self._sink.name,
        }
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        self._connection.request("POST", self._target.path, body, headers)
        response = self._connection.getresponse()
        whole = len(response.read(_ANSWER_MAX)) < _ANSWER_MAX
        self._used = True
        if response.will_close or not whole:
            self.close()
        return response.status

    def _closed(self) -> bool:
        """On an idle connection: there is none, the peer has closed it, or says what nobody asked for."""
        connection = self._connection.sock if self._connection is not None else None
        if connection is None:
            return True
        connection.settimeout(0)
        try:
            connection.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            return True
        finally:
            connection.settimeout(self._sink.timeout_ms / 1000)
        return True


def _read_token(path: str) -> str:
    if not path:
        return ""
    with Path(path).open("rb") as file:
        line = file.readline(_TOKEN_MAX).strip()
    if not _TOKEN.fullmatch(line):
        raise Unavailable(f"{path} has no token in its first line")
    return line.decode("ascii")
