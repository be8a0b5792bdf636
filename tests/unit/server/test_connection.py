"""What a connection knows of its next request: its wait in the kernel, and whether its head is here."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import InvalidRequestLine, LimitRequestHeaders, NoMoreData

from ronkms.server.connection import HEAD_LIMIT, LONGEST_SKIPPED, Connection
from tests.eventually import eventually


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


def _gathered(connection: Connection) -> bytes:
    """What the parser will read first, once the head is here."""
    eventually(connection.gather)
    assert connection.parser is not None
    return bytes(connection.parser.unreader.take_buffered())


def test_a_head_is_taken_piece_by_piece(pair: tuple[socket.socket, socket.socket]) -> None:
    client, served = pair
    connection = _connection(served)
    sent = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert not connection.gather()
    for end in range(len(sent) - 1):
        client.sendall(sent[end : end + 1])
        assert not connection.gather()
    client.sendall(sent[-1:] + b"body")
    assert _gathered(connection) in (sent, sent + b"body")


def test_what_was_read_ahead_begins_the_next_head(pair: tuple[socket.socket, socket.socket]) -> None:
    client, served = pair
    connection = _connection(served)
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    eventually(connection.gather)
    assert connection.parser is not None
    connection.parser.unreader.take_buffered()
    connection.parser.unreader.unread(b"GET /next HT")
    assert connection.has_read_ahead()
    assert not connection.gather()
    assert not connection.has_read_ahead()
    client.sendall(b"TP/1.1\r\n\r\n")
    assert _gathered(connection) == b"GET /next HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"X: " + b"a" * HEAD_LIMIT * 2, LimitRequestHeaders),
        (b"X: " + b"a" * HEAD_LIMIT + b"\r\n\r\n", LimitRequestHeaders),
        (b"GET / HTTP/1.1\nHost: a\n\n", InvalidRequestLine),
        (b"GET / HTTP/1.1\r\nHo", NoMoreData),
        (b"", NoMoreData),
    ],
)
def test_what_will_never_be_a_head(
    pair: tuple[socket.socket, socket.socket], sent: bytes, error: type[Exception]
) -> None:
    client, served = pair
    connection = _connection(served)
    client.sendall(sent)
    client.shutdown(socket.SHUT_WR)
    with pytest.raises(error):
        eventually(connection.gather)


@pytest.mark.parametrize("read", [0, 3, 5])
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_a_body_that_is_here_is_skipped_however_late_it_is(
    pair: tuple[socket.socket, socket.socket], coding: str, read: int
) -> None:
    client, served = pair
    connection = _connection(served)
    if coding == "length":
        head, body = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", b"12345"
    else:
        head, body = (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"5\r\n12345\r\n0\r\n\r\n",
        )
    after = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
    client.sendall(head + body + after)
    eventually(connection.gather)
    request = next(connection.parser)
    if read:
        assert request.body.read(read) == b"12345"[:read]
    before = served.gettimeout()
    late = coding == "length" or (read == 5 and request.body.read(1) == b"")
    assert connection.finish_body(-1.0 if late else 60.0)
    assert served.gettimeout() == before
    assert _gathered(connection) == after


@pytest.mark.parametrize("sent", [0, 4])
def test_a_body_that_does_not_come_is_not_waited_for(
    pair: tuple[socket.socket, socket.socket], sent: int
) -> None:
    client, served = pair
    connection = _connection(served)
    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n" + b"12345"[:sent])
    eventually(connection.gather)
    next(connection.parser)
    assert not connection.finish_body(0.005)


def test_a_long_body_is_not_skipped(pair: tuple[socket.socket, socket.socket]) -> None:
    client, served = pair
    connection = _connection(served)
    length = LONGEST_SKIPPED + 20_000
    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
    eventually(connection.gather)
    next(connection.parser)
    client.sendall(bytes(length))
    assert not connection.finish_body(60.0)
