"""What this service shows to the decision point, and how it knows it: TLS and a bearer token, from files.

Files are looked at again when they have changed; a change that cannot be used leaves the former content in
use, and is logged. The token is no key of this service's custody; it is in no message, log or repr.
"""

from __future__ import annotations

import os
import re
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog

from ronkms.errors import ConfigError

MAX_TOKEN_FILE: Final = 1 << 14
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]+")
"""RFC 6750 section 2.1, ``b64token``."""

_log = structlog.get_logger()
_Content = TypeVar("_Content")


class _Followed(Generic[_Content]):
    """What was made of some files, made again when one of them is another than before."""

    def __init__(self, setting: str, paths: tuple[str, ...], make: Callable[[], _Content]) -> None:
        """``setting``: names of the settings, for messages. Raises :class:`ConfigError`."""
        self._setting = setting
        self._paths = paths
        self._make = make
        self._lock = threading.Lock()
        self._stamp = self._look()
        try:
            self._content = make()
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ConfigError(f"{setting}: cannot be used: {error}") from None

    def current(self) -> _Content:
        """As of now."""
        stamp = self._look()
        if stamp != self._stamp:
            with self._lock:
                if stamp != self._stamp:
                    self._stamp = stamp
                    self._reload()
        return self._content

    def _reload(self) -> None:
        try:
            self._content = self._make()
        except (OSError, ValueError) as error:
            _log.error("external_policy_reload_failed", setting=self._setting, error=str(error))
        else:
            _log.info("external_policy_reloaded", setting=self._setting)

    def _look(self) -> tuple[int, ...]:
        stamp: list[int] = []
        for path in self._paths:
            try:
                found = os.stat(path)  # noqa: PTH116  # on every question
            except OSError:
                stamp.append(-1)
            else:
                stamp += (found.st_mtime_ns, found.st_ino, found.st_size)
        return tuple(stamp)


class BearerToken:
    """Of the file ``policy_token_file``: its first line."""

    def __init__(self, path: str) -> None:
        """Raises :class:`ConfigError`."""
        self._followed = _Followed("policy_token_file", (path,), lambda: _read_token(path))

    def __repr__(self) -> str:
        return "BearerToken()"

    def header(self) -> str:
        """The value of ``Authorization``."""
        return f"Bearer {self._followed.current()}"


class ClientTls:
    """TLS 1.2 or 1.3 towards the decision point, whose name must be in its certificate."""

    def __init__(self, ca: str, certificate: str, key: str) -> None:
        """PEM files; ``ca`` empty: the system's authorities; ``certificate`` empty: no client certificate.

        Raises :class:`ConfigError`."""

        def make() -> ssl.SSLContext:
            context = ssl.create_default_context(cafile=ca or None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.set_alpn_protocols(["http/1.1"])
            if certificate:
                context.load_cert_chain(certificate, key)
            return context

        paths = tuple(filter(None, (ca, certificate, key)))
        self._followed = _Followed("policy_tls_ca, policy_tls_cert, policy_tls_key", paths, make)

    def current(self) -> ssl.SSLContext:
        """The context for a new connection."""
        return self._followed.current()


def _read_token(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_TOKEN_FILE)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    line = content.partition(b"\n")[0].strip().decode("ascii", errors="replace")
    if _TOKEN.fullmatch(line) is None:
        raise ValueError(f"{path}: its first line must be a bearer token of letters, digits and ._~+/=-")
    return line
