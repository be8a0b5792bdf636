"""The epochs of the keyed digests, as the server keeps them (docs/formats/audit-digest.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from ronkms.errors import IntegrityError
from ronkms.journal.durable_file import replace_file

FILE: Final = "digest-keys.json"
VERSION: Final = 1
ANNOUNCEMENT: Final = "digest_key"
"""``op`` of the record that announces an epoch; no capability grants it."""
CHECK_INPUT: Final = b"ron-kms audit digest key check v1"
"""What the check value of a key is the HMAC of."""
NOT_ANNOUNCED: Final = -1
_LABEL: Final = b"ron-kms audit digest key v1"


class Epoch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``check`` and ``recipient`` (empty without an escrow) in hex. ``sealed`` is empty once destroyed.
    ``record``: number of the announcement. Times are Unix seconds, 0 for never."""

    number: int
    sealed: bytes
    check: str
    recipient: str = ""
    record: int = NOT_ANNOUNCED
    created_at: int
    retired_at: int = 0
    destroyed_at: int = 0

    @property
    def announced(self) -> bool:
        """True once its record is in the log: only then records may have its digests."""
        return self.record != NOT_ANNOUNCED

    def identity(self, origin: str) -> bytes:
        """What its sealed record is bound to."""
        return b"\x00".join((_LABEL, origin.encode(), str(self.number).encode()))


class EpochFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All epochs that ever were, by ascending number; the last announced one is in use."""

    v: int
    epochs: tuple[Epoch, ...]

    @property
    def current(self) -> Epoch | None:
        """The epoch in use; None before the first."""
        return next((epoch for epoch in reversed(self.epochs) if epoch.announced), None)

    @property
    def pending(self) -> Epoch | None:
        """The epoch that was made and is not announced yet."""
        return self.epochs[-1] if self.epochs and not self.epochs[-1].announced else None

    def find(self, number: int) -> Epoch | None:
        """The epoch of that number."""
        return self.epochs[number - 1] if 1 <= number <= len(self.epochs) else None

    def begin(self, *, sealed: bytes, check: str, now: int) -> EpochFile:
        """With a pending epoch more. There must be none yet."""
        if self.pending is not None:
            raise ValueError("an epoch is pending")
        made = Epoch(number=len(self.epochs) + 1, sealed=sealed, check=check, created_at=now)
        return EpochFile(self.v, (*self.epochs, made))

    def announce(self, record: int, recipient: str, now: int) -> EpochFile:
        """The pending epoch was announced as ``record``, escrowed to ``recipient`` (empty for nobody): it is
        in use, the one before is retired."""
        pending, before = self.pending, self.current
        if pending is None:
            raise ValueError("no epoch is pending")
        epochs = [
            msgspec.structs.replace(epoch, retired_at=now) if epoch is before else epoch
            for epoch in self.epochs[:-1]
        ]
        return EpochFile(
            self.v, (*epochs, msgspec.structs.replace(pending, record=record, recipient=recipient))
        )

    def destroy(self, number: int, now: int) -> EpochFile:
        """The key of a retired epoch is gone; its check value stays."""
        gone = self.find(number)
        if gone is None or not gone.retired_at:
            raise ValueError("only the key of an ended epoch may be destroyed")
        made = msgspec.structs.replace(gone, sealed=b"", destroyed_at=gone.destroyed_at or now)
        return EpochFile(self.v, tuple(made if epoch is gone else epoch for epoch in self.epochs))


def read_epochs(directory: Path) -> EpochFile:
    """The epochs of the log in ``directory``; none without the file. Raises IntegrityError, OSError."""
    try:
        raw = (directory / FILE).read_bytes()
    except FileNotFoundError:
        return EpochFile(VERSION, ())
    try:
        return decode_epochs(raw)
    except (msgspec.MsgspecError, ValueError) as error:
        raise IntegrityError(f"audit: {FILE} is damaged: {error}; restore it from a backup") from None


def write_epochs(directory: Path, content: EpochFile) -> None:
    """Durable when it returns. Raises OSError."""
    replace_file(directory / FILE, msgspec.json.encode(content))


def decode_epochs(raw: bytes) -> EpochFile:
    """Raises msgspec.MsgspecError, ValueError: not such a file, or one that could not have come about."""
    found = msgspec.json.decode(raw, type=EpochFile)
    if found.v != VERSION:
        raise ValueError(f"version {found.v} is not known here")
    for place, epoch in enumerate(found.epochs, start=1):
        if epoch.number != place:
            raise ValueError(f"epoch {place} is missing")
        last = place == len(found.epochs)
        if not epoch.announced and not last:
            raise ValueError(f"epoch {place} was never announced")
        if bool(epoch.sealed) == bool(epoch.destroyed_at):
            raise ValueError(f"epoch {place} has no key, or one that was destroyed")
    current = found.current
    for epoch in found.epochs:
        if epoch.announced and bool(epoch.retired_at) == (epoch is current):
            raise ValueError(f"epoch {epoch.number} is both in use and ended, or neither")
    return found
