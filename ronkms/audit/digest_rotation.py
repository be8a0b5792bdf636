"""Begins and ends the epochs of the keyed digests (docs/formats/audit-digest.md).

One process at a time: the arbiter before the forks, then the admin process. The order makes every crash
harmless: the key is on disk before it is announced, announced before it is in use, in use before the workers
are told.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final, Protocol

import msgspec
import structlog
from ronkms_native import NativeError

from ronkms.audit.digest_epochs import FILE, Epoch, EpochFile, read_epochs, write_epochs
from ronkms.audit.digest_keys import LEGACY_LABEL, DigestKeys
from ronkms.audit.digest_lines import holds_announcement
from ronkms.audit.escrow import Escrow, Recipient, check_of
from ronkms.audit.follower import first_record
from ronkms.audit.proof import prove_inclusion
from ronkms.errors import AuditUnavailable, BadRequest, Conflict, IntegrityError, NotFound, Unavailable
from ronkms.journal.durable_file import make_directory, replace_file

DIRECTORY: Final = "escrow"
SYSTEM: Final = "system:digest"
"""``token`` of an announcement; who asked for it stands in a record of its own."""
DAY_SECONDS: Final = 86400
_UNWRITABLE: Final = "the digest keys of the audit log cannot be written: {}"

_log = structlog.get_logger()


class EpochTrail(Protocol):
    """``ronkms.audit.log.AuditLogTrail``."""

    def announce_digest_key(
        self, *, epoch: int, check: str, escrow: Escrow | None, token_id: str, corr_id: str
    ) -> int: ...


class RotationCustody(Protocol):
    """The part of ``ronkms_native.Custody`` that is used here."""

    def generate_mac_key(self, identity: bytes) -> bytes: ...
    def mac(self, label: str, data: bytes) -> bytes: ...


class DigestRotation:
    """``bump`` tells all processes that the epochs changed. ``period_days`` 0: by command alone."""

    def __init__(
        self,
        directory: Path,
        origin: str,
        *,
        custody: RotationCustody,
        keys: DigestKeys,
        trail: EpochTrail,
        bump: Callable[[], object],
        recipient: Recipient | None,
        period_days: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``directory``: of the log, whose name is ``origin``."""
        self._directory = directory
        self._origin = origin
        self._custody = custody
        self._keys = keys
        self._trail = trail
        self._bump = bump
        self._recipient = recipient
        self._period = period_days * DAY_SECONDS
        self._clock = clock
        self._lock = Lock()

    def start(self) -> None:
        """Before the first request: an epoch is in use, escrowed as is configured.

        A log that cannot be written leaves that to :meth:`turn`; until then nothing is served that has a
        digest. Raises IntegrityError: the keys were removed; OSError."""
        if not read_epochs(self._directory).epochs and holds_announcement(self._directory):
            raise IntegrityError(
                f"audit: {FILE} was removed, the log has digests under its keys; restore it from a backup"
            )
        try:
            with self._lock:
                self._catch_up()
        except AuditUnavailable as error:
            _log.warning("audit_digest_key_not_announced", error=str(error))

    def resume(self) -> None:
        """In the admin process, once: a predecessor may have died before it told the workers."""
        self._lock = Lock()
        self._bump()

    def turn(self) -> None:
        """Now and then: announces what is pending, begins an epoch by period, writes escrow files.

        Raises AuditUnavailable, IntegrityError, OSError."""
        with self._lock:
            self._catch_up()
            self._write_escrow_files()

    def rotate(self) -> Epoch:
        """Begins the next epoch, in use by all workers when it returns.

        Raises AuditUnavailable, IntegrityError, Unavailable."""
        try:
            with self._lock:
                return self._announce(self._with_pending(read_epochs(self._directory)))
        except OSError as error:
            raise Unavailable(_UNWRITABLE.format(error.strerror)) from None

    def epochs(self) -> tuple[Epoch, ...]:
        """All epochs. Raises IntegrityError, Unavailable."""
        try:
            return read_epochs(self._directory).epochs
        except OSError as error:
            raise Unavailable(f"the digest keys of the audit log cannot be read: {error.strerror}") from None

    def digest(self, epoch: int, data: bytes) -> str:
        """Of an input under any epoch that was not destroyed, hex; 0 is the key from before the epochs.

        Raises NotFound, IntegrityError, Unavailable."""
        if epoch == 0:
            return self._custody.mac(LEGACY_LABEL, data).hex()
        found = next((each for each in self.epochs() if each.number == epoch), None)
        if found is None:
            raise NotFound(f"there is no epoch {epoch} of digest keys")
        if found.destroyed_at:
            raise NotFound(f"the digest key of epoch {epoch} was destroyed; an escrow of it may exist")
        return self._keys.unseal(found).mac(data).hex()

    def is_destroyed(self, number: int) -> bool:
        """Whether the key of that epoch is gone. Raises IntegrityError, Unavailable."""
        return any(epoch.number == number and epoch.destroyed_at for epoch in self.epochs())

    def destroy(self, number: int) -> Epoch:
        """Forgets the key of an ended epoch of which no record is in the directory any more.

        Raises NotFound, Conflict: in use, or its records are here; IntegrityError, Unavailable."""
        try:
            with self._lock:
                epochs = read_epochs(self._directory)
                found = epochs.find(number)
                if found is None:
                    raise NotFound(f"there is no epoch {number} of digest keys")
                if not found.retired_at:
                    raise Conflict(f"epoch {number} is in use; rotate the digest key first")
                self._require_gone(epochs, found)
                epochs = epochs.destroy(number, int(self._clock()))
                write_epochs(self._directory, epochs)
        except OSError as error:
            raise Unavailable(_UNWRITABLE.format(error.strerror)) from None
        return epochs.epochs[number - 1]

    def _require_gone(self, epochs: EpochFile, ended: Epoch) -> None:
        following = epochs.epochs[ended.number]
        first, _ = first_record(self._directory)
        if first <= following.record:
            raise Conflict(
                f"records of epoch {ended.number} are still in the directory (the log here begins with record"
                f" {first}, epoch {following.number} with {following.record}); see audit_retention_days"
            )

    def _catch_up(self) -> None:
        epochs = read_epochs(self._directory)
        current = epochs.current
        if (
            current is None
            or epochs.pending is not None
            or self._due(current)
            or self._wanted not in ("", current.recipient)
        ):
            self._announce(self._with_pending(epochs))

    @property
    def _wanted(self) -> str:
        return self._recipient.fingerprint if self._recipient is not None else ""

    def _due(self, current: Epoch) -> bool:
        return bool(self._period) and self._clock() >= current.created_at + self._period

    def _with_pending(self, epochs: EpochFile) -> EpochFile:
        if epochs.pending is not None:
            return epochs
        now = int(self._clock())
        blank = Epoch(number=len(epochs.epochs) + 1, sealed=b"", check="", created_at=now)
        try:
            sealed = self._custody.generate_mac_key(blank.identity(self._origin))
        except NativeError as error:
            raise Unavailable(f"no digest key could be made: {error}") from None
        check = check_of(self._keys.unseal(msgspec.structs.replace(blank, sealed=sealed)))
        epochs = epochs.begin(sealed=sealed, check=check, now=now)
        write_epochs(self._directory, epochs)
        return epochs

    def _announce(self, epochs: EpochFile) -> Epoch:
        pending = epochs.epochs[-1]
        escrow = None
        if self._recipient is not None:
            escrow = self._recipient.seal(self._keys.unseal(pending), self._origin, pending.number)
        record = self._trail.announce_digest_key(
            epoch=pending.number,
            check=pending.check,
            escrow=escrow,
            token_id=SYSTEM,
            corr_id=secrets.token_hex(16),
        )
        epochs = epochs.announce(record, self._wanted, int(self._clock()))
        write_epochs(self._directory, epochs)
        self._bump()
        _log.info("audit_digest_key_in_use", epoch=pending.number, record=record, escrow=self._wanted or None)
        return epochs.epochs[-1]

    def _write_escrow_files(self) -> None:
        directory = self._directory / DIRECTORY
        first, _ = first_record(self._directory)
        for epoch in read_epochs(self._directory).epochs:
            path = directory / f"epoch-{epoch.number:08}.json"
            if not epoch.recipient or epoch.record < first or path.exists():
                continue
            try:
                proof = prove_inclusion(self._directory, epoch.record)
            except BadRequest:  # no checkpoint covers it yet
                continue
            make_directory(directory)
            replace_file(path, msgspec.json.encode(proof))
