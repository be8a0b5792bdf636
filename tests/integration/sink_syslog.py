"""A syslog server as a process: ``python sink_syslog.py KIND ADDRESS OUT [CERTIFICATE KEY]``.

KIND is ``tcp``, ``tls``, ``udp`` (ADDRESS is a port) or ``unix`` (a path). Each message is a line of OUT.
"""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

LOCK = threading.Lock()


def keep(message: bytes, out: IO[bytes]) -> None:
    with LOCK:
        out.write(message + b"\n")
        out.flush()


def read_frames(connection: socket.socket, out: IO[bytes]) -> None:
    stream = connection.makefile("rb")
    with suppress(OSError):
        while True:
            length = b""
            while not length.endswith(b" "):
                digit = stream.read(1)
                if not digit:
                    return
                length += digit
            message = stream.read(int(length))
            if len(message) < int(length):
                return
            keep(message, out)


def serve_stream(kind: str, port: int, out: IO[bytes]) -> None:
    with socket.create_server(("127.0.0.1", port)) as listener:
        context = None
        if kind == "tls":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(sys.argv[4], sys.argv[5])
        while True:
            connection, _ = listener.accept()
            if context is not None:
                try:
                    connection = context.wrap_socket(connection, server_side=True)
                except OSError:
                    continue
            threading.Thread(target=read_frames, args=(connection, out), daemon=True).start()


def serve_datagrams(kind: str, address: str, out: IO[bytes]) -> None:
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as receiver:
        if kind == "unix":
            Path(address).unlink(missing_ok=True)
            receiver.bind(address)
        else:
            receiver.bind(("127.0.0.1", int(address)))
        while True:
            keep(receiver.recv(1 << 16), out)


if __name__ == "__main__":
    with Path(sys.argv[3]).open("ab") as file:
        if sys.argv[1] in ("tcp", "tls"):
            serve_stream(sys.argv[1], int(sys.argv[2]), file)
        else:
            serve_datagrams(sys.argv[1], sys.argv[2], file)
