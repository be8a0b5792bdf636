"""Syslog sinks against sockets in this process."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ronkms.audit.follower import Followed
from ronkms.audit.sinks.encoding import encoder
from ronkms.audit.sinks.rfc5424 import MessageMaker
from ronkms.audit.sinks.syslog_transport import DatagramTransport, StreamTransport, unacknowledged
from ronkms.domain.audit_sink import parse_target
from ronkms.errors import Unavailable
from tests.unit.audit.log_files import make_lines
from tests.unit.audit.sinks.test_rfc5424 import unframe

RECORDS = [Followed(number, line, bytes(32)) for number, line in enumerate(make_lines(40))]


def maker(max_bytes: int = 8192) -> MessageMaker:
    return MessageMaker("s", "audit", encoder("jsonl"), max_bytes)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def stream_to(listener: socket.socket, **settings: Any) -> StreamTransport:
    target = parse_target(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
    given = {"timeout": 5.0, "count_cut": lambda: None, "resend": 3} | settings
    return StreamTransport(target, maker(), context=None, **given)


def received(connection: socket.socket) -> list[bytes]:
    """All messages until the peer closed."""
    data = b""
    while part := connection.recv(1 << 16):
        data += part
    return [message.partition(b"] ")[2] for message in unframe(data)]


def lines(records: list[Followed]) -> list[bytes]:
    return [record.line for record in records]


def test_records_are_acknowledged_frames(listener: socket.socket) -> None:
    transport = stream_to(listener)
    transport.open()
    connection, _ = listener.accept()
    assert transport.deliver(RECORDS[:10]) == 10
    transport.check()
    transport.close()
    assert received(connection) == lines(RECORDS[:10])
    connection.close()


def test_a_peer_that_closes_is_noticed(listener: socket.socket) -> None:
    transport = stream_to(listener)
    transport.open()
    connection, _ = listener.accept()
    transport.check()
    connection.sendall(b"what nobody asked for")
    transport.check()
    connection.close()
    with pytest.raises((Unavailable, ConnectionError)):
        for _ in range(1000):
            transport.check()
    transport.close()


def test_the_last_messages_are_sent_again_after_a_break(listener: socket.socket) -> None:
    transport = stream_to(listener)
    transport.open()
    first, _ = listener.accept()
    transport.deliver(RECORDS[:5])
    first.close()
    with pytest.raises((Unavailable, ConnectionError)):
        transport.deliver(RECORDS[5:6])
        transport.deliver(RECORDS[5:6])
    transport.close()
    transport.open()
    second, _ = listener.accept()
    transport.deliver(RECORDS[5:8])
    transport.close()
    again = received(second)
    assert again[-3:] == lines(RECORDS[5:8])
    assert lines(RECORDS[2:5]) == again[:3] or lines(RECORDS[3:6]) == again[:3]
    second.close()


def test_one_that_does_not_read_is_given_up(listener: socket.socket) -> None:
    transport = stream_to(listener, timeout=0.2)
    transport.open()
    long = [Followed(0, make_lines(1)[0][:-1] + b',"x":"' + b"y" * 7000 + b'"}', bytes(32))]
    with pytest.raises((Unavailable, TimeoutError, ConnectionError)):
        for _ in range(100):
            transport.deliver(long * 500)
    transport.close()


def test_what_the_peer_has_not_acknowledged_is_counted(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()) as sender:
        assert unacknowledged(sender) == 0
        sender.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sender.sendall(bytes(1 << 24))
        assert unacknowledged(sender) > 0


def test_datagrams(tmp_path: Path) -> None:
    path = tmp_path / "log"
    transport = DatagramTransport(parse_target(f"unix:{path}"), maker(), 0.2, lambda: None)
    with pytest.raises(FileNotFoundError):
        transport.open()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        transport.open()
        transport.check()
        assert transport.deliver(RECORDS[:2]) == 2
        assert [receiver.recv(9000).partition(b"] ")[2] for _ in range(2)] == lines(RECORDS[:2])
        taken = transport.deliver(RECORDS * 1000)
        assert 0 < taken < 40_000, "as many as the queue takes"
        with pytest.raises(TimeoutError):
            transport.deliver(RECORDS)
    with pytest.raises(ConnectionRefusedError):
        transport.check()
    transport.close()


def test_udp_hears_of_a_closed_port() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        port = receiver.getsockname()[1]
        transport = DatagramTransport(parse_target(f"udp://127.0.0.1:{port}"), maker(), 0.2, lambda: None)
        transport.open()
        assert transport.deliver(RECORDS[:1]) == 1
        assert receiver.recv(9000).endswith(RECORDS[0].line)
    with pytest.raises(ConnectionRefusedError):
        transport.deliver(RECORDS[:1])
        transport.check()
    transport.close()


def test_cut_messages_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "log"
    cut: list[int] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        short = DatagramTransport(parse_target(f"unix:{path}"), maker(480), 1.0, lambda: cut.append(1))
        short.open()
        long = Followed(0, RECORDS[0].line[:-1] + b',"detail":"' + b"x" * 600 + b'"}', bytes(32))
        short.deliver([RECORDS[0], long, long])
        assert [len(receiver.recv(9000)) for _ in range(3)][1:] == [480, 480]
        short.close()
    assert len(cut) == 2
