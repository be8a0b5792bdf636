"""What the service asks of the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ronkms.audit.digest_keys import NO_DIGEST, KeyedDigest
from ronkms.domain.operation import Operation, Outcome


class AuditTrail(Protocol):
    """One record an authenticated operation, appended before the answer leaves."""

    def input_digest(self, data: bytes) -> KeyedDigest:
        """Keyed digest of an input, safe against dictionary guesses. Raises AuditUnavailable."""

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
        digest: KeyedDigest = NO_DIGEST,
        detail: str = "",
        phase: str = "",
        pid: int = 0,
        items: int = 0,
        keys: Mapping[str, int] = ...,
    ) -> int:
        """Appends and, for ``domain.operation.DURABLE`` or ``KMS_AUDIT_SYNC=all``, waits for the disk.

        ``code`` is the error code of a refusal; ``phase`` is ``intent`` or ``outcome`` for lifecycle
        operations, and ``pid`` the process whose intent an outcome ends, 0 for this one. An outcome that
        cannot be written follows when the log can be. ``items`` counts a batch, ``keys`` what each
        ``key id/version`` answered of it if that is not one for all. Returns the sequence number. Raises
        AuditUnavailable."""

    def check_sinks(self) -> None:
        """Before any work: raises AuditUnavailable while a required sink does not take the records."""

    def writable(self) -> bool:
        """False when the log is latched closed, deleted or replaced."""

    def after_fork(self) -> None:
        """To be called in each child."""
