"""The log's own keys: made natively, sealed in the data directory, used for checkpoints alone.

Private keys never exist in Python: ``Custody`` seals and unseals them. See docs/formats/checkpoint.md.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Final

import msgspec
from ronkms_native import Custody, NativeError, PrivateKey

from ronkms.audit.checkpoint import Checkpoint, signature_line, signed_message
from ronkms.audit.note import ALG_OF_TYPE, ED25519, ML_DSA_44, Note, NoteKey
from ronkms.errors import IntegrityError
from ronkms.journal.durable_file import replace_file

FILE: Final = "log-keys.json"
VERSION: Final = 1
_LABEL: Final = b"ron-kms audit log key v1"
_TYPES: Final = (ED25519, ML_DSA_44)
_TYPE_OF_ALG: Final = {ALG_OF_TYPE[each]: each for each in _TYPES}


class LogKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``sealed`` is empty once retired. Times are Unix seconds, 0 for never."""

    number: int
    alg: str
    public: bytes
    sealed: bytes
    created_at: int
    retired_at: int = 0


class LogKeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content of ``log-keys.json``."""

    v: int
    origin: str
    keys: tuple[LogKey, ...]

    @property
    def newest(self) -> int:
        """Number of the newest set."""
        return self.keys[-1].number

    def note_keys(self) -> tuple[NoteKey, ...]:
        """The public keys, retired ones included, oldest first."""
        return tuple(NoteKey(self.origin, _TYPE_OF_ALG[key.alg], key.public) for key in self.keys)


def read_log_keys(directory: Path) -> LogKeyFile | None:
    """The keys of the log in ``directory``; None if it has none yet. Raises IntegrityError, OSError."""
    try:
        raw = (directory / FILE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        found = msgspec.json.decode(raw, type=LogKeyFile)
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"audit: {FILE} is damaged: {error}") from None
    if found.v != VERSION or not found.keys or any(key.alg not in _TYPE_OF_ALG for key in found.keys):
        raise IntegrityError(f"audit: {FILE} is damaged or of a later version")
    return found


def ensure_log_keys(directory: Path, custody: Custody) -> LogKeyFile:
    """The keys of the log in ``directory``; makes origin and keys at the first start.

    Raises IntegrityError, OSError."""
    found = read_log_keys(directory)
    if found is None:
        origin = f"ron-kms/{secrets.token_hex(16)}"
        found = LogKeyFile(VERSION, origin, _make(custody, origin, 1))
        _write(directory, found)
    return found


def newest_key_set(directory: Path) -> int:
    """Number of the newest keys of the log in ``directory``; 0 if it has none yet. Raises IntegrityError,
    OSError."""
    found = read_log_keys(directory)
    return 0 if found is None else found.newest


class LogSigner:
    """Signs checkpoints with the newest keys."""

    def __init__(self, directory: Path, custody: Custody) -> None:
        """Makes origin and keys at the first start. Raises IntegrityError, OSError."""
        self._directory = directory
        self._custody = custody
        self._file = ensure_log_keys(directory, custody)
        self._private = self._open()

    @property
    def origin(self) -> str:
        """The log's name."""
        return self._file.origin

    @property
    def keys(self) -> tuple[NoteKey, ...]:
        """All public keys, retired ones included."""
        return self._file.note_keys()

    @property
    def current(self) -> tuple[NoteKey, ...]:
        """The public keys that sign now."""
        return tuple(key for key, _ in self._private)

    @property
    def number(self) -> int:
        """Of the set that signs."""
        return self._file.newest

    def sign(self, size: int, root: bytes) -> Note:
        """A note with one signature line a key."""
        checkpoint = Checkpoint(self.origin, size, root)
        timestamp = int(time.time())
        lines = []
        for key, private in self._private:
            signature = private.sign(signed_message(key, checkpoint, timestamp))
            lines.append(signature_line(key, timestamp, signature))
        return Note(checkpoint.text, tuple(lines))

    def rotate(self) -> tuple[NoteKey, ...]:
        """New keys sign from now on; the private parts of the old ones are dropped. Raises OSError.

        Returns the new public keys."""
        number = self._file.newest + 1
        now = int(time.time())
        retired = tuple(
            key if key.retired_at else msgspec.structs.replace(key, sealed=b"", retired_at=now)
            for key in self._file.keys
        )
        found = LogKeyFile(VERSION, self.origin, retired + _make(self._custody, self.origin, number))
        _write(self._directory, found)
        self._file = found
        self._private = self._open()
        return self.current

    def _open(self) -> tuple[tuple[NoteKey, PrivateKey], ...]:
        opened = []
        for key in self._file.keys:
            if key.retired_at:
                continue
            try:
                private = self._custody.unseal(key.sealed, _identity(self.origin, key.alg, key.number))
            except NativeError as error:
                raise IntegrityError(f"audit: {FILE}: the {key.alg} key cannot be opened: {error}") from None
            if private.public != key.public:
                raise IntegrityError(f"audit: {FILE}: the public {key.alg} key is not the sealed one's")
            opened.append((NoteKey(self.origin, _TYPE_OF_ALG[key.alg], key.public), private))
        if {key.type for key, _ in opened} != set(_TYPES):
            raise IntegrityError(f"audit: {FILE} lacks a key in use; restore the file")
        return tuple(opened)


def _make(custody: Custody, origin: str, number: int) -> tuple[LogKey, ...]:
    made = []
    for alg in _TYPE_OF_ALG:
        sealed, public = custody.generate(alg, _identity(origin, alg, number))
        made.append(LogKey(number, alg, public, sealed, int(time.time())))
    return tuple(made)


def _write(directory: Path, content: LogKeyFile) -> None:
    replace_file(directory / FILE, msgspec.json.encode(content))


def _identity(origin: str, alg: str, number: int) -> bytes:
    return b"\x00".join((_LABEL, origin.encode(), alg.encode(), str(number).encode()))
