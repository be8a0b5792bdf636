"""TLS and mutual TLS of a real server."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.integration.certificates import Authority, Pair
from tests.integration.raw_http import RawConnection
from tests.server_process import NotReadyError, ServerProcess


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[ServerProcess]:
    pair = authority.issue("server")
    env = _env(pair) | {"KMS_TLS_CLIENT_CA": str(authority.cert), "KMS_LOG_LEVEL": "debug"}
    with ServerProcess(tmp_path_factory.mktemp("mutual") / "data", env, scheme="https") as server:
        yield server


def _env(pair: Pair) -> dict[str, str]:
    return {"KMS_TLS_CERT": str(pair.cert), "KMS_TLS_KEY": str(pair.key)}


def _client(authority: Authority, pair: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.cert))
    if pair is not None:
        context.load_cert_chain(pair.cert, pair.key)
    return context


def _status(server: ServerProcess, context: ssl.SSLContext) -> int:
    with RawConnection(server.api_url, tls=context) as connection:
        return connection.request("GET", "/v1/kms/keys", server.token).status


def test_tls(tmp_path: Path, authority: Authority) -> None:
    with ServerProcess(tmp_path / "data", _env(authority.issue("plain")), scheme="https") as server:
        with RawConnection(server.api_url, tls=_client(authority)) as connection:
            assert connection.request("GET", "/v1/kms/keys", server.token).status == 200
            assert connection.request("GET", "/v1/kms/keys", server.token).status == 200
            assert isinstance(connection.sock, ssl.SSLSocket)
            assert connection.sock.version() == "TLSv1.3"
        older = _client(authority)
        older.maximum_version = ssl.TLSVersion.TLSv1_2
        assert _status(server, older) == 200
        too_old = _client(authority)
        with pytest.warns(DeprecationWarning):
            too_old.minimum_version = too_old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _status(server, too_old)


def test_plain_http_on_a_tls_port_gets_nothing(mutual: ServerProcess) -> None:
    with RawConnection(mutual.api_url) as connection:
        connection.send(b"GET /v1/kms/keys HTTP/1.1\r\nHost: kms\r\n\r\n")
        with pytest.raises(ConnectionError):
            connection.reply()


def test_client_certificate_is_demanded(mutual: ServerProcess, authority: Authority) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _status(mutual, _client(authority))


def test_foreign_client_certificate_is_refused(
    mutual: ServerProcess, authority: Authority, tmp_path: Path
) -> None:
    foreign = Authority(tmp_path / "foreign").issue("stranger")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _status(mutual, _client(authority, foreign))


def test_client_certificate_is_accepted(mutual: ServerProcess, authority: Authority) -> None:
    client = authority.issue("client")
    assert _status(mutual, _client(authority, client)) == 200


def test_a_stalled_handshake_holds_nobody_up(mutual: ServerProcess, authority: Authority) -> None:
    client = _client(authority, authority.issue("quick"))
    stalled = [RawConnection(mutual.api_url) for _ in range(20)]
    try:
        assert _status(mutual, client) == 200
        assert all(connection.is_open() for connection in stalled)
    finally:
        for connection in stalled:
            connection.close()


def _greeting(client: ssl.SSLContext) -> bytes:
    """The first flight of a handshake."""
    sent = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost").do_handshake()
    return sent.read()


def _ended(connection: RawConnection) -> bool:
    """The server has ended the connection, after whatever it sent."""
    connection.sock.setblocking(False)
    try:
        while connection.sock.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


def test_a_handshake_or_head_that_comes_slowly_takes_no_thread(
    mutual: ServerProcess, authority: Authority
) -> None:
    client = _client(authority, authority.issue("slow"))

    def attempt() -> bool:
        with ExitStack() as stack:
            begun = [stack.enter_context(RawConnection(mutual.api_url)) for _ in range(12)]
            for one in begun:
                session = client.wrap_bio(
                    ssl.MemoryBIO(), greeting := ssl.MemoryBIO(), server_hostname="localhost"
                )
                with pytest.raises(ssl.SSLWantReadError):
                    session.do_handshake()
                one.send(greeting.read())
            heads = [stack.enter_context(RawConnection(mutual.api_url, tls=client)) for _ in range(12)]
            for head in heads:
                head.send(b"GET / HTTP/1.1\r\nHost: k")
            assert _status(mutual, client) == 200
            if any(_ended(one) for one in begun):
                return False
            return {head.send(b"ms\r\n\r\n").reply().status for head in heads} == {404}

    # Each has 10 s. With a thread for each the request would wait until some are cut.
    eventually(attempt, "slow handshakes or heads held the threads")


def test_a_renewed_certificate_serves_the_next_connection(tmp_path: Path, authority: Authority) -> None:
    first = authority.issue("first")
    with ServerProcess(tmp_path / "data", _env(first), scheme="https") as server:
        assert _status(server, _client(authority)) == 200
        other = Authority(tmp_path / "other")
        renewed = other.issue("renewed")
        first.key.write_bytes(renewed.key.read_bytes())
        first.cert.write_bytes(renewed.cert.read_bytes())
        os.utime(first.cert)
        time.sleep(1.2)
        deadline = time.monotonic() + 60
        while True:
            try:
                assert _status(server, _client(other)) == 200
                break
            except ssl.SSLError:
                assert time.monotonic() < deadline
                time.sleep(0.2)


def test_unusable_certificate_stops_the_start(tmp_path: Path, authority: Authority) -> None:
    one, other = authority.issue("one"), authority.issue("other")
    server = ServerProcess(
        tmp_path / "data", {"KMS_TLS_CERT": str(one.cert), "KMS_TLS_KEY": str(other.key)}, scheme="https"
    )
    with pytest.raises(NotReadyError, match=r"error: tls_key: .* is not the key of the certificate in"):
        server.start()
    assert server.process is not None
    assert server.process.returncode == 1
