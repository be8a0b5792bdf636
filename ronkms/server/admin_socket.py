"""``admin.sock`` in the data directory: how ``ronctl`` speaks to the running server.

Mode 0600, and the kernel's word on the peer (SO_PEERCRED): its user must be the server's or root. One request
and one answer a connection, both bounded (``admin_messages``). Everything that signs capabilities is made
here, in the admin process, and nowhere else.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from pathlib import Path
from threading import Semaphore, Thread
from typing import Final, Protocol

import msgspec
import structlog

from ronkms.capability.admin_token import write_admin_token
from ronkms.capability.mint import CapabilityMint
from ronkms.capability.root_key import SecretSeal
from ronkms.errors import BadRequest, Denied, KmsError, StartError
from ronkms.server.admin_audit import AuditAdmin, DigestEpochs, LogKeyRotation
from ronkms.server.admin_external_policy import ExternalPolicyAdmin, NoExternalPolicy
from ronkms.server.admin_messages import (
    MAX_LINE,
    SOCKET,
    TIMEOUT_SECONDS,
    VERSION,
    Answer,
    Fault,
    Request,
)
from ronkms.server.admin_operations import AdminContext, AdminOperations
from ronkms.server.socket_address import reachable

_CONNECTIONS: Final = 16
_PEER: Final = struct.Struct("iII")
_BUSY_SECONDS: Final = 0.1

_log = structlog.get_logger("ronkms.admin_socket")
_decoder = msgspec.json.Decoder(Request)
_encoder = msgspec.json.Encoder()


class SealedContext(AdminContext, Protocol):
    """What the socket needs of ``ronkms.app.Application``."""

    @property
    def custody(self) -> SecretSeal: ...
    @property
    def digest_rotation(self) -> DigestEpochs: ...


class AdminSocket:
    """To be made in the admin process, after the fork."""

    def __init__(
        self,
        application: SealedContext,
        log_keys: LogKeyRotation,
        external: ExternalPolicyAdmin | None = None,
    ) -> None:
        """``external``: None if there is no external policy."""
        settings = application.settings
        self._path = settings.data_path / SOCKET
        self._mint = CapabilityMint(
            application.capability_registry,
            application.custody,
            max_ttl_seconds=settings.cap_ttl_max_seconds,
        )
        self._dev_directory = settings.data_path if settings.dev else None
        self.operations = AdminOperations(
            application,
            self._mint,
            AuditAdmin(application.audit, log_keys, application.digest_rotation),
            external or NoExternalPolicy(),
        )
        self._places = Semaphore(_CONNECTIONS)
        self._users = {0, os.geteuid()}

    def serve_in_thread(self) -> None:
        """Makes the first capability root if there is none, under the dev seal also the admin token, then
        listens. Raises :class:`StartError`, IntegrityError."""
        try:
            self._mint.ensure_root()
            if self._dev_directory is not None:
                write_admin_token(self._mint, self._dev_directory)
            listener = _listen(self._path)
        except OSError as error:
            raise StartError(f"{self._path}: cannot serve the admin socket: {error.strerror}") from error
        Thread(target=self._accept, args=(listener,), name="admin-socket", daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            self._places.acquire()
            try:
                connection, _ = listener.accept()
            except OSError as error:  # out of descriptors: wait for some to come back
                self._places.release()
                _log.warning("admin_socket_accept_failed", error=error.strerror)
                time.sleep(_BUSY_SECONDS)
                continue
            Thread(target=self._converse, args=(connection,), name="admin-request", daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(TIMEOUT_SECONDS)
                try:
                    uid = self._authorized_user(connection)
                    answer = self._answer(uid, _request(connection))
                except KmsError as error:
                    answer = _refusal(error)
                connection.sendall(_encoder.encode(answer) + b"\n")
        except OSError:
            pass  # the peer left or was too slow; nobody is there to be told
        finally:
            self._places.release()

    def _answer(self, uid: int, request: Request) -> Answer:
        try:
            return Answer(VERSION, result=self.operations.run(uid, request))
        except KmsError as error:
            return _refusal(error)
        except Exception:  # noqa: BLE001  # a fault of one request must not end the socket
            _log.exception("admin_request_failed", op=request.op)
            return Answer(VERSION, error=Fault("internal", "internal error; see the server's log"))

    def _authorized_user(self, connection: socket.socket) -> int:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        _, uid, _ = _PEER.unpack(credentials)
        if uid not in self._users:
            _log.warning("admin_socket_peer_refused", uid=uid)
            raise Denied("run ronctl as the server's user or as root")
        return int(uid)


def _refusal(error: KmsError) -> Answer:
    return Answer(VERSION, error=Fault(error.code, str(error)))


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # the store's lock makes sure that no other server is behind it
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with reachable(path) as address:
            listener.bind(address)
        path.chmod(0o600)  # before listen: until then nobody can connect
        listener.listen(_CONNECTIONS)
    except OSError:
        listener.close()
        raise
    return listener


def _request(connection: socket.socket) -> Request:
    line = b""
    while not line.endswith(b"\n"):
        part = connection.recv(MAX_LINE)
        line += part
        if not part or len(line) > MAX_LINE:
            raise BadRequest(f"a request is one line of JSON, at most {MAX_LINE} bytes")
    try:
        request = _decoder.decode(line)
    except msgspec.MsgspecError as error:
        raise BadRequest(f"not an admin request: {error}") from None
    except UnicodeDecodeError:
        raise BadRequest("not an admin request: not UTF-8") from None
    if request.v != VERSION:
        raise BadRequest(f"this server speaks version {VERSION} of the admin protocol; use its own ronctl")
    return request
