"""Asks the running server over the admin socket of its data directory."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from ronkms.client.remote_error import remote_error
from ronkms.errors import Denied, KmsError, Unavailable
from ronkms.server.admin_messages import MAX_LINE, SOCKET, TIMEOUT_SECONDS, VERSION, Fault, NoArguments
from ronkms.server.socket_address import reachable

Result = TypeVar("Result", bound=msgspec.Struct)


class _Answer(msgspec.Struct):
    v: int
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: Fault | None = None


def ask(
    data_directory: Path, op: str, result: type[Result], arguments: msgspec.Struct | None = None
) -> Result:
    """The answer to one request. Raises the server's error, Unavailable (no server, or it ended before it
    answered), Denied (other user)."""
    request = {"v": VERSION, "op": op, "args": arguments or NoArguments()}
    path = data_directory / SOCKET
    try:
        line = _exchange(path, msgspec.json.encode(request) + b"\n")
    except PermissionError:
        raise Denied(f"{path}: run ronctl as the server's user or as root") from None
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise Unavailable(
            f"no server runs on {data_directory}; start it, or name another --data-dir"
        ) from None
    except OSError as error:
        raise Unavailable(f"{path}: {error}") from None
    if not line.endswith(b"\n") and len(line) <= MAX_LINE:
        raise Unavailable(
            f"the server ended before it had answered {op}: look whether it was done; its audit log says so"
            " once it has started again"
        )
    try:
        answer = msgspec.json.decode(line, type=_Answer)
        if answer.error is not None:
            raise remote_error(answer.error.code, answer.error.message)
        return msgspec.json.decode(answer.result, type=result)
    except msgspec.MsgspecError:
        raise KmsError("the server's answer is not understood: use the ronctl of its version") from None


def _exchange(path: Path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, reachable(path) as address:
        connection.settimeout(TIMEOUT_SECONDS)
        connection.connect(address)
        with suppress(BrokenPipeError):  # refused before it was read: the answer says why
            connection.sendall(request)
        answer = b""
        while not answer.endswith(b"\n") and len(answer) <= MAX_LINE:
            part = connection.recv(MAX_LINE)
            if not part:
                break
            answer += part
    return answer
