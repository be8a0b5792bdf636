"""The operations of the admin socket on the audit log."""

from __future__ import annotations

from typing import Protocol

from ronkms.audit.note import NoteKey
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import Unavailable
from ronkms.server import admin_messages as messages


class AuditTrailWithHead(Protocol):
    """``ronkms.audit.log.AuditLogTrail``."""

    @property
    def head(self) -> tuple[int, str]: ...

    def record(
        self,
        *,
        op: Operation,
        outcome: Outcome,
        tenant: str,
        token_id: str,
        corr_id: str,
        code: str = "",
        detail: str = "",
        phase: str = "",
    ) -> int: ...


class LogKeyRotation(Protocol):
    """The part of ``ronkms.audit.checkpointer.Checkpointer`` that is used here."""

    def rotate_keys(self) -> tuple[NoteKey, ...]: ...


class AuditAdmin:
    """Registered by ``admin_operations``."""

    def __init__(self, audit: AuditTrailWithHead, log_keys: LogKeyRotation) -> None:
        self._audit = audit
        self._log_keys = log_keys

    def head(self, _: messages.NoArguments) -> messages.AuditHead:
        """The log's end."""
        return messages.AuditHead(*self._audit.head)

    def rotate(self, _: messages.NoArguments) -> messages.AuditKeys:
        """New keys for checkpoints. Raises IntegrityError, Unavailable."""
        try:
            return messages.AuditKeys([key.encoded() for key in self._log_keys.rotate_keys()])
        except OSError as error:
            raise Unavailable(f"the keys of the audit log cannot be written: {error.strerror}") from None
