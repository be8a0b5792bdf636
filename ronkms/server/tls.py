"""The TLS context of the API: TLS 1.2 and 1.3, client certificates where an authority is set."""

from __future__ import annotations

import hashlib
import os
import ssl
import threading
import time
from pathlib import Path
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
        self._context = _load(settings)

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
        except StartError as error:
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
    """Raises StartError, which names the setting whose file cannot be used."""
    for setting in ("tls_cert", "tls_key", "tls_client_ca"):
        _require_readable(setting, getattr(settings, setting))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # RFC 9325 section 4.2: forward secrecy and authenticated encryption; names TLS 1.2 suites only.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    try:
        # An empty passphrase, or OpenSSL would ask for one at the terminal.
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password="")
    except ssl.SSLError as error:
        raise StartError(_fault_of_pair(settings, error)) from None
    if settings.tls_client_ca:
        try:
            context.load_verify_locations(settings.tls_client_ca)
        except ssl.SSLError:
            raise StartError(
                f"tls_client_ca: {settings.tls_client_ca} holds no certificate in PEM that can be used"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _require_readable(setting: str, path: str) -> None:
    try:
        if path:
            Path(path).open("rb").close()
    except OSError as error:
        raise StartError(f"{setting}: cannot read {path}: {error.strerror}") from None


def _fault_of_pair(settings: Settings, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"tls_key: {settings.tls_key} is not the key of the certificate in {settings.tls_cert}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(settings.tls_cert)
    except ssl.SSLError:
        return f"tls_cert: {settings.tls_cert} holds no certificate in PEM that can be used"
    if str(error.reason).startswith("EE_"):
        return f"tls_cert: {settings.tls_cert} is too weak: {error.reason}"
    return f"tls_key: {settings.tls_key} holds no private key in PEM that can be used without a passphrase"
