"""The operations of the admin socket on the audit log."""

from __future__ import annotations

from typing import Protocol

from ronkms.audit.digest_epochs import Epoch
from ronkms.audit.note import NoteKey
from ronkms.audit.protocol import AuditTrail
from ronkms.errors import Unavailable
from ronkms.server import admin_messages as messages


class AuditTrailWithHead(AuditTrail, Protocol):
    """``ronkms.audit.log.AuditLogTrail``."""

    @property
    def head(self) -> tuple[int, str]: ...


class LogKeyRotation(Protocol):
    """The part of ``ronkms.audit.checkpointer.Checkpointer`` that is used here."""

    @property
    def key_set(self) -> int: ...
    def rotate_keys(self) -> tuple[NoteKey, ...]: ...


class DigestEpochs(Protocol):
    """``ronkms.audit.digest_rotation.DigestRotation``."""

    def rotate(self) -> Epoch: ...
    def destroy(self, number: int) -> Epoch: ...
    def epochs(self) -> tuple[Epoch, ...]: ...
    def digest(self, epoch: int, data: bytes) -> str: ...


class AuditAdmin:
    """Registered by ``admin_operations``."""

    def __init__(
        self, audit: AuditTrailWithHead, log_keys: LogKeyRotation, digest_epochs: DigestEpochs
    ) -> None:
        self._audit = audit
        self._log_keys = log_keys
        self._digest_epochs = digest_epochs

    def head(self, _: messages.NoArguments) -> messages.AuditHead:
        """The log's end."""
        return messages.AuditHead(*self._audit.head)

    def last_key_set(self) -> int:
        """Number of the keys that sign checkpoints now."""
        return self._log_keys.key_set

    def rotate(self, _: messages.NoArguments) -> messages.AuditKeys:
        """New keys for checkpoints. Raises IntegrityError, Unavailable."""
        try:
            return messages.AuditKeys([key.encoded() for key in self._log_keys.rotate_keys()])
        except OSError as error:
            raise Unavailable(f"the keys of the audit log cannot be written: {error.strerror}") from None

    def last_digest_epoch(self) -> int:
        """Number of the digest key in use; 0 before the first. Raises IntegrityError, Unavailable."""
        return max((epoch.number for epoch in self._digest_epochs.epochs() if epoch.announced), default=0)

    def rotate_digest_key(self, _: messages.NoArguments) -> messages.DigestEpoch:
        """A new epoch, in use by all workers when it returns. Raises AuditUnavailable, IntegrityError,
        Unavailable."""
        return _shown(self._digest_epochs.rotate())

    def destroy_digest_key(self, arguments: messages.EpochArguments) -> messages.DigestEpoch:
        """Raises NotFound, Conflict, IntegrityError, Unavailable."""
        return _shown(self._digest_epochs.destroy(arguments.epoch))

    def digest_keys(self, _: messages.NoArguments) -> messages.DigestEpochs:
        """All epochs. Raises IntegrityError, Unavailable."""
        return messages.DigestEpochs([_shown(epoch) for epoch in self._digest_epochs.epochs()])

    def digest(self, arguments: messages.DigestArguments) -> messages.InputDigest:
        """Of a guess, under any epoch whose key is here. Raises NotFound, IntegrityError, Unavailable."""
        return messages.InputDigest(self._digest_epochs.digest(arguments.epoch, arguments.data))


def _shown(epoch: Epoch) -> messages.DigestEpoch:
    return messages.DigestEpoch(
        number=epoch.number,
        record=epoch.record,
        check=epoch.check,
        escrowed_to=epoch.recipient,
        created_at=epoch.created_at,
        retired_at=epoch.retired_at,
        destroyed_at=epoch.destroyed_at,
    )
