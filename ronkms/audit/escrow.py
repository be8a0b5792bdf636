"""Escrow of digest keys: the auditor's key pair, and what is sealed to it (docs/formats/audit-digest.md).

No key is plain bytes in Python: key pairs are made, and escrows are opened, natively.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from ronkms_native import Custody, MacKey, NativeError, PrivateKey, PublicKey

from ronkms.audit.digest_epochs import ANNOUNCEMENT, CHECK_INPUT
from ronkms.errors import BadRequest, ConfigError, IntegrityError
from ronkms.journal.durable_file import sync_directory, write_new

VERSION: Final = 1
ALG: Final = "X-Wing"
PUBLIC_PREFIX: Final = "ron-kms-escrow-v1"
_LABEL: Final = b"ron-kms audit digest escrow v1"
_IDENTITY: Final = b"ron-kms audit escrow key v1"
_MAX_FILE: Final = 1 << 16


class Escrow(msgspec.Struct, frozen=True):
    """A digest key sealed to ``recipient`` (SHA-256 of the public key, hex)."""

    recipient: str
    sealed: bytes


class Announcement(msgspec.Struct, frozen=True):
    """The part of an announcing record that is needed to open its escrow."""

    op: str
    dk: int
    check: str
    escrow: Escrow | None = None


class Recipient(NamedTuple):
    """An auditor's public key, 1,216 raw bytes."""

    public: bytes

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hex."""
        return hashlib.sha256(self.public).hexdigest()

    def encoded(self) -> str:
        """The one line of a public file, without its newline."""
        return f"{PUBLIC_PREFIX} {base64.b64encode(self.public).decode()}"

    def seal(self, key: MacKey, origin: str, epoch: int) -> Escrow:
        """The key of an epoch, for this recipient alone."""
        return Escrow(self.fingerprint, key.seal_to(self.public, _info(origin, epoch), b""))


class _PrivateFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    seal: bytes
    sealed: bytes
    public: bytes


def parse_recipient(text: str) -> Recipient:
    """The content of a public file. Raises ValueError."""
    prefix, _, encoded = text.strip().partition(" ")
    if prefix != PUBLIC_PREFIX:
        raise ValueError(f"an escrow public key begins with {PUBLIC_PREFIX}")
    public = base64.b64decode(encoded, validate=True)
    try:
        PublicKey(ALG, public)
    except NativeError as error:
        raise ValueError(str(error)) from None
    return Recipient(public)


def read_recipient(path: Path) -> Recipient:
    """From a public file, for the setting ``audit_escrow_public_key``. Raises ConfigError."""
    try:
        with path.open(encoding="ascii") as file:
            return parse_recipient(file.read(_MAX_FILE))
    except OSError as error:
        raise ConfigError(f"audit_escrow_public_key: cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(
            f"audit_escrow_public_key: {path} is not a file of ronctl audit escrow-keygen: {error}"
        ) from None


def make_key_pair(private: Path, public: Path, *, kind: str, secret_path: str) -> Recipient:
    """Makes both files, which must not exist; the private one under a seal of ``kind`` (``passphrase``,
    ``keyfile``). Raises BadRequest, OSError, FileExistsError."""
    try:
        custody, seal = Custody.create(kind, secret_path)
        sealed, raw = custody.generate(ALG, _IDENTITY)
    except NativeError as error:
        raise BadRequest(str(error)) from None
    recipient = Recipient(raw)
    write_new(private, msgspec.json.encode(_PrivateFile(VERSION, seal, sealed, raw)))
    write_new(public, f"{recipient.encoded()}\n".encode())
    for directory in {private.absolute().parent, public.absolute().parent}:
        sync_directory(directory)
    return recipient


def open_private(path: Path, *, kind: str, secret_path: str) -> PrivateKey:
    """The auditor's private key. Raises BadRequest: damaged, or the secret is another; OSError."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_PrivateFile)
        private = Custody.open(found.seal, kind, secret_path).unseal(found.sealed, _IDENTITY)
    except msgspec.MsgspecError as error:
        raise BadRequest(f"{path} is not a private file of ronctl audit escrow-keygen: {error}") from None
    except NativeError as error:
        raise BadRequest(f"{path}: {error}") from None
    if found.v != VERSION or private.public != found.public:
        raise BadRequest(f"{path} is damaged or of a later version")
    return private


def parse_announcement(line: bytes | str) -> Announcement:
    """A record that announces an epoch. Raises IntegrityError: another kind of record."""
    try:
        found = msgspec.json.decode(line, type=Announcement)
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"not the announcement of a digest key: {error}") from None
    if found.op != ANNOUNCEMENT:
        raise IntegrityError(f"a record of {found.op} is not the announcement of a digest key")
    return found


def open_escrow(announcement: Announcement, origin: str, private: PrivateKey) -> MacKey:
    """The digest key, held to the announced check value.

    Raises BadRequest: escrowed to nobody or to another key; IntegrityError: it does not open, or to
    another key than was announced."""
    escrow = announcement.escrow
    if escrow is None:
        raise BadRequest(f"epoch {announcement.dk} has no escrow: audit_escrow_public_key was not set")
    if escrow.recipient != Recipient(private.public).fingerprint:
        raise BadRequest(f"epoch {announcement.dk} is escrowed to {escrow.recipient[:16]}…, not to this key")
    try:
        key = private.open_mac_key(_info(origin, announcement.dk), b"", escrow.sealed)
    except NativeError as error:
        raise IntegrityError(f"the escrow of epoch {announcement.dk} does not open: {error}") from None
    if not hmac.compare_digest(check_of(key), announcement.check):
        raise IntegrityError(f"the escrow of epoch {announcement.dk} holds another key than was announced")
    return key


def check_of(key: MacKey) -> str:
    """The check value of a digest key, hex."""
    return key.mac(CHECK_INPUT).hex()


def _info(origin: str, epoch: int) -> bytes:
    return b"\x00".join((_LABEL, origin.encode(), str(epoch).encode()))
