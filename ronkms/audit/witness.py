"""A witness (C2SP tlog-witness): cosigns checkpoints that continue the last one it saw, refuses others.

It runs apart from the server, so that it knows what a copy of the whole data directory put back does not.
"""

from __future__ import annotations

import re
import threading
import time
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from ronkms_native import Custody

from ronkms.audit.checkpoint import Checkpoint, signature_line, signed_message, verify_checkpoint
from ronkms.audit.merkle import EMPTY_ROOT, HASH_BYTES, verify_consistency
from ronkms.audit.note import MAX_NOTE, WITNESS_ED25519, NoteKey, from_base64
from ronkms.errors import IntegrityError
from ronkms.journal.durable_file import make_directory, replace_file

MAX_REQUEST: Final = MAX_NOTE + 64 * 64
_MAX_PROOF: Final = 63
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})")
_IDENTITY: Final = b"ron-kms audit witness key v1"


class WitnessRefusal(Exception):
    """``status``: of HTTP, as C2SP tlog-witness has it; 409 with ``size`` of the last cosigned checkpoint."""

    def __init__(self, status: int, message: str, size: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.size = size


class _Key(msgspec.Struct, frozen=True):
    seal: bytes
    sealed: bytes
    name: str
    public: bytes


class _Last(msgspec.Struct, frozen=True):
    origin: str
    size: int
    root: bytes


class Witness:
    """Of one log. ``log_keys``: the log's public keys; ``state``: directory of its key and its memory."""

    def __init__(self, state: Path, name: str, log_keys: Sequence[NoteKey]) -> None:
        """Makes the key at the first start. Raises IntegrityError, OSError."""
        if not log_keys or len({key.name for key in log_keys}) != 1:
            raise IntegrityError("a witness needs the public keys of one log: ronctl audit keys")
        make_directory(state)
        self._last_path = state / "last.json"
        self._origin = log_keys[0].name
        self._log_keys = tuple(log_keys)
        self._lock = threading.Lock()
        key = _read(state / "witness-key.json", _Key) or _make_key(state / "witness-key.json", name)
        self._private = Custody.open(key.seal, "dev", None).unseal(key.sealed, _IDENTITY)
        self.key = NoteKey(key.name, WITNESS_ED25519, key.public)
        """Its public key."""
        last = _read(self._last_path, _Last) or _Last(self._origin, 0, EMPTY_ROOT)
        if last.origin != self._origin:
            raise IntegrityError(f"{state} is the memory of a witness of {last.origin}")
        self._last = Checkpoint(*msgspec.structs.astuple(last))

    def add_checkpoint(self, body: bytes) -> str:
        """The body of an ``add-checkpoint`` request; the answer is a signature line. What is cosigned is
        remembered, on disk, before. Raises WitnessRefusal, OSError."""
        old, path, note = _parse(body)
        try:
            signed = verify_checkpoint(note, self._log_keys)
        except IntegrityError as error:
            raise WitnessRefusal(403, str(error)) from None
        checkpoint = signed.checkpoint
        if checkpoint.origin != self._origin:
            raise WitnessRefusal(404, f"this is a witness of {self._origin}")
        if old > checkpoint.size:
            raise WitnessRefusal(400, "the old size is larger than the checkpoint's")
        with self._lock:
            last = self._last
            if old != last.size:
                raise WitnessRefusal(409, f"the last cosigned checkpoint has {last.size} records", last.size)
            if old == checkpoint.size and checkpoint.root != last.root:
                raise WitnessRefusal(409, f"a fork: another tree of {old} records was cosigned", last.size)
            try:
                verify_consistency(old, checkpoint.size, path, last.root, checkpoint.root)
            except IntegrityError as error:
                raise WitnessRefusal(422, str(error)) from None
            content = _Last(checkpoint.origin, checkpoint.size, checkpoint.root)
            replace_file(self._last_path, msgspec.json.encode(content))
            self._last = checkpoint
        timestamp = int(time.time())
        signature = self._private.sign(signed_message(self.key, checkpoint, timestamp))
        return str(signature_line(self.key, timestamp, signature))


def encode_request(old: int, path: Sequence[bytes], note: str) -> bytes:
    """The body of ``add-checkpoint``: what ``Witness.add_checkpoint`` takes."""
    lines = [f"old {old}", *(b64encode(each).decode() for each in path), "", note]
    return "\n".join(lines).encode()


def _parse(body: bytes) -> tuple[int, list[bytes], str]:
    try:
        head, separator, note = body.decode().partition("\n\n")
        first, *hashes = head.split("\n")
        path = [from_base64(each) for each in hashes]
    except ValueError as error:
        raise WitnessRefusal(400, f"malformed: {error}") from None
    old = _OLD.fullmatch(first)
    if (
        old is None
        or not separator
        or len(path) > _MAX_PROOF
        or any(len(each) != HASH_BYTES for each in path)
    ):
        raise WitnessRefusal(400, "malformed: an old size, up to 63 hashes and an empty line come first")
    return int(old[1]), path, note


_Content = TypeVar("_Content", _Key, _Last)


def _read(path: Path, kind: type[_Content]) -> _Content | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"{path} is damaged: {error}") from None


def _make_key(path: Path, name: str) -> _Key:
    custody, seal = Custody.create("dev", None)
    sealed, public = custody.generate("Ed25519", _IDENTITY)
    made = _Key(seal, sealed, name, public)
    replace_file(path, msgspec.json.encode(made))
    return made
