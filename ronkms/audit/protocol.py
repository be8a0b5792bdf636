"""What the service asks of the audit log."""

from __future__ import annotations

from typing import Protocol

from ronkms.domain.operation import Operation, Outcome


class AuditTrail(Protocol):
    """One record an authenticated operation, appended before the answer leaves."""

    def input_digest(self, data: bytes) -> str:
        """Keyed digest (HMAC-SHA-256, hex) of an input, safe against dictionary guesses."""

    def record(
        self,
        *,
        op: Operation,
        outcome: Outcome,
        tenant: str,
        token_id: str,
        corr_id: str,
        key_id: str = "",
        key_version: int = 0,
        alg: str = "",
        code: str = "",
        digest: str = "",
        detail: str = "",
        phase: str = "",
        items: int = 0,
    ) -> int:
        """Appends and, for ``domain.operation.DURABLE`` or ``KMS_AUDIT_SYNC=all``, waits for the disk.

        ``code`` is the error code of a refusal; ``phase`` is ``intent`` or ``outcome`` for lifecycle
        operations; ``items`` counts a batch. Returns the sequence number. Raises AuditUnavailable."""

    def writable(self) -> bool:
        """False when the log is latched closed, deleted or replaced."""

    def after_fork(self) -> None:
        """To be called in each child."""
