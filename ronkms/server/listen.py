"""Listening sockets, bound before the forks so that a taken port is one clear line."""

from __future__ import annotations

import os
import socket

from ronkms.config.address import Address
from ronkms.errors import StartError


def listen(address: Address, *, setting: str, backlog: int) -> socket.socket:
    """A listening TCP socket. Raises :class:`StartError` that names the setting."""
    family = socket.AF_INET6 if address.ipv6 else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StartError(
            f"{setting}: cannot listen on {address}: {reason}; choose another address or stop what holds it"
        ) from None
    return listener
