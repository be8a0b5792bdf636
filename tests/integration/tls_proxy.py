"""A proxy that ends its clients' TLS and speaks to the server with a certificate of its own."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator

from tests.integration.certificates import Authority, Pair

_CHUNK = 65536


@contextlib.contextmanager
def tls_proxy(authority: Authority, front: Pair, client: Pair, port: int) -> Iterator[str]:
    """URL of a proxy that demands client certificates, and shows ``client`` to the server at ``port``."""
    accept = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accept.load_cert_chain(front.cert, front.key)
    accept.load_verify_locations(authority.cert)
    accept.verify_mode = ssl.CERT_REQUIRED
    connect = ssl.create_default_context(cafile=str(authority.cert))
    connect.load_cert_chain(client.cert, client.key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with (
                contextlib.suppress(OSError),
                accept.wrap_socket(plain, server_side=True) as inside,
                socket.create_connection(("127.0.0.1", port)) as outside,
                connect.wrap_socket(outside, server_hostname="127.0.0.1") as server,
            ):
                _exchange(inside, server)

    thread = threading.Thread(target=serve, name="tls-proxy", daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _exchange(client: ssl.SSLSocket, server: ssl.SSLSocket) -> None:
    """One small request, which comes in one piece, and the answer up to the connection's end."""
    server.sendall(client.recv(_CHUNK))
    while answer := server.recv(_CHUNK):
        client.sendall(answer)
