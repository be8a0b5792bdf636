"""The TLS context of the API: TLS 1.2 and 1.3, client certificates where an authority is set."""

from __future__ import annotations

import hashlib
import os
import ssl
import threading
import time
from typing import Final

import structlog

from ronkms.config.settings import Settings
from ronkms.errors import StartError

RELOAD_SECONDS: Final = 1.0
"""How often, at most, the files are looked at."""

_log = structlog.get_logger()


class TlsContext:
    """A context that follows its files: a renewed certificate serves the next connection.

    A renewal that does not load leaves the former context in use, and is logged.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises :class:`StartError`."""
        self._settings = settings
        self._lock = threading.Lock()
        self._stamp = self._file_stamp()
        self._looked = time.monotonic()
        try:
            self._context = _load(settings)
        except (OSError, ssl.SSLError) as error:
            raise StartError(f"tls_cert, tls_key, tls_client_ca: cannot be used: {error}") from None

    def current(self) -> ssl.SSLContext:
        """The context for a new connection."""
        now = time.monotonic()
        if now - self._looked >= RELOAD_SECONDS:
            with self._lock:
                self._looked = now
                stamp = self._file_stamp()
                if stamp != self._stamp:
                    self._stamp = stamp
                    self._reload()
        return self._context

    def _reload(self) -> None:
        try:
            self._context = _load(self._settings)
        except (OSError, ssl.SSLError) as error:
            _log.error("tls_reload_failed", error=str(error))
        else:
            _log.info("tls_reloaded", cert=self._settings.tls_cert)

    def _file_stamp(self) -> tuple[int, ...]:
        stamp: list[int] = []
        for path in (self._settings.tls_cert, self._settings.tls_key, self._settings.tls_client_ca):
            try:
                stamp.append(os.stat(path).st_mtime_ns if path else 0)  # noqa: PTH116
            except OSError:
                stamp.append(-1)
        return tuple(stamp)


def client_fingerprint(connection: ssl.SSLSocket) -> str | None:
    """SHA-256 (hex) of the client's certificate in DER; None without one."""
    certificate = connection.getpeercert(binary_form=True)
    return hashlib.sha256(certificate).hexdigest() if certificate else None


def _load(settings: Settings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # RFC 9325 section 4.2: forward secrecy and authenticated encryption; names TLS 1.2 suites only.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    if settings.tls_client_ca:
        context.load_verify_locations(settings.tls_client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
