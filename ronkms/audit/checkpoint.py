"""Checkpoints (C2SP tlog-checkpoint): what is signed, and how a signature on it is checked. No I/O.

See docs/formats/checkpoint.md.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Final, NamedTuple

from ronkms_native import PublicKey

from ronkms.audit.merkle import HASH_BYTES
from ronkms.audit.note import (
    ALG_OF_TYPE,
    ED25519,
    ML_DSA_44,
    Note,
    NoteKey,
    SignatureLine,
    from_base64,
)
from ronkms.errors import IntegrityError

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_SUBTREE_LABEL: Final = b"subtree/v1\n\x00"
_TIME_BYTES: Final = 8


class Checkpoint(NamedTuple):
    """The first ``size`` records of the log ``origin`` have the Merkle root ``root``."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What a note of this checkpoint holds: three lines."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"

    @staticmethod
    def parse(text: str) -> Checkpoint:
        """Inverse of ``text``. Raises IntegrityError."""
        lines = text.split("\n")
        if len(lines) != 4 or lines[3] or not lines[0] or not _SIZE.fullmatch(lines[1]):
            raise IntegrityError("the note is not a checkpoint: origin, size and root")
        try:
            root = from_base64(lines[2])
        except ValueError:
            root = b""
        if len(root) != HASH_BYTES:
            raise IntegrityError("the checkpoint's root is not 32 bytes of base64")
        return Checkpoint(lines[0], int(lines[1]), root)


class Signed(NamedTuple):
    """A checkpoint whose signatures were verified, and its note."""

    checkpoint: Checkpoint
    note: Note
    signers: tuple[NoteKey, ...]


def signed_message(key: NoteKey, checkpoint: Checkpoint, timestamp: int) -> bytes:
    """The bytes under a signature of ``key``. ``timestamp``: Unix seconds; of no use for Ed25519 notes."""
    if key.type == ED25519:
        return checkpoint.text.encode()
    if key.type == ML_DSA_44:
        name, origin = key.name.encode(), checkpoint.origin.encode()
        return b"".join(
            (
                _SUBTREE_LABEL,
                bytes([len(name)]),
                name,
                timestamp.to_bytes(8, "big"),
                bytes([len(origin)]),
                origin,
                bytes(8),
                checkpoint.size.to_bytes(8, "big"),
                checkpoint.root,
            )
        )
    return f"cosignature/v1\ntime {timestamp}\n{checkpoint.text}".encode()


def signature_line(key: NoteKey, timestamp: int, signature: bytes) -> SignatureLine:
    """The line for ``signature`` over ``signed_message`` of the same key and time."""
    prefix = b"" if key.type == ED25519 else timestamp.to_bytes(_TIME_BYTES, "big")
    return SignatureLine(key.name, key.id, prefix + signature)


def verify_checkpoint(encoded: str, keys: Iterable[NoteKey]) -> Signed:
    """Parses a note and verifies every line of a key in ``keys``.

    Raises IntegrityError: malformed, a line of a known key that does not verify, or no line of one."""
    note = Note.parse(encoded)
    checkpoint = Checkpoint.parse(note.text)
    known = {(key.name, key.id): key for key in keys}
    signers = []
    for line in note.signatures:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        _verify_line(key, checkpoint, line.signature)
        signers.append(key)
    if not signers:
        raise IntegrityError(f"the checkpoint of {checkpoint.size} records has no signature by a known key")
    return Signed(checkpoint, note, tuple(signers))


def _verify_line(key: NoteKey, checkpoint: Checkpoint, signature: bytes) -> None:
    timestamp = 0
    if key.type != ED25519:
        timestamp, signature = int.from_bytes(signature[:_TIME_BYTES], "big"), signature[_TIME_BYTES:]
    message = signed_message(key, checkpoint, timestamp)
    if not all(PublicKey(ALG_OF_TYPE[key.type], key.public).verify(message, signature)):
        raise IntegrityError(
            f"the {ALG_OF_TYPE[key.type]} signature of {key.name} on the checkpoint of"
            f" {checkpoint.size} records is wrong"
        )
