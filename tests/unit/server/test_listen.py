"""Listening sockets and their addresses."""

from __future__ import annotations

import socket

import pytest

from ronkms.config.address import Address, parse_address
from ronkms.errors import StartError
from ronkms.server.listen import listen
from tests.server_process import free_port


def test_listens_and_says_what_is_wrong() -> None:
    address = Address("127.0.0.1", free_port())
    with listen(address, setting="api_addr", backlog=4) as listener:
        with socket.create_connection(address):
            accepted, _ = listener.accept()
            accepted.close()
        with pytest.raises(
            StartError, match=f"^api_addr: cannot listen on {address}: Address already in use"
        ):
            listen(address, setting="api_addr", backlog=4)


def test_an_address_of_another_machine() -> None:
    with pytest.raises(StartError, match="Cannot assign requested address"):
        listen(Address("192.0.2.1", free_port()), setting="api_addr", backlog=4)


@pytest.mark.parametrize(
    ("text", "host", "shown", "loopback"),
    [
        ("127.0.0.1:80", "127.0.0.1", "127.0.0.1:80", True),
        ("127.8.8.8:80", "127.8.8.8", "127.8.8.8:80", True),
        ("localhost:80", "127.0.0.1", "127.0.0.1:80", True),
        ("[::1]:80", "::1", "[::1]:80", True),
        ("[0:0:0:0:0:0:0:1]:80", "::1", "[::1]:80", True),
        ("0.0.0.0:80", "0.0.0.0", "0.0.0.0:80", False),
        ("[::]:80", "::", "[::]:80", False),
        ("10.0.0.1:80", "10.0.0.1", "10.0.0.1:80", False),
    ],
)
def test_addresses(text: str, host: str, shown: str, loopback: bool) -> None:
    address = parse_address(text)
    assert (address.host, str(address), address.loopback) == (host, shown, loopback)
