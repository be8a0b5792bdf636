"""Listening addresses: ``IP:port``, with IPv6 in brackets, or ``localhost:port``."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

_FORM: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[0-9.]+|localhost)):(?P<port>[0-9]{1,5})")


class Address(NamedTuple):
    """Where to listen. ``host`` is an IP literal without brackets."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """True if only this machine can reach it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def ipv6(self) -> bool:
        """True for an IPv6 literal."""
        return ":" in self.host

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.ipv6 else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """The address of ``text``. Raises :class:`ValueError`; host names are refused, ports are 1 to 65535."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("not IP:port")
    host = match["v6"] or match["host"]
    host = "127.0.0.1" if host == "localhost" else str(ipaddress.ip_address(host))
    port = int(match["port"])
    if not 1 <= port <= 65535:
        raise ValueError("port out of range")
    return Address(host, port)
