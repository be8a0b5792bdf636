"""How long the first request of a connection has waited in the kernel."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from gunicorn.config import Config

from ronkms.server.connection import Connection


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as served,
    ):
        yield client, served


def _connection(served: socket.socket) -> Connection:
    return Connection(Config(), served, ("127.0.0.1", 1), ("127.0.0.1", 2), 5.0)


def test_the_age_of_the_data_is_known(pair: tuple[socket.socket, socket.socket]) -> None:
    client, served = pair
    client.sendall(b"GET")
    sent = time.monotonic()
    time.sleep(0.2)
    connection = _connection(served)
    assert connection.has_data()
    assert 0.15 <= connection.waited <= time.monotonic() - sent + 0.05


def test_silence_and_an_end_have_waited_for_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    client, served = pair
    connection = _connection(served)
    assert not connection.has_data()
    client.shutdown(socket.SHUT_WR)
    time.sleep(0.05)
    assert connection.has_data()
    assert connection.waited == 0.0
