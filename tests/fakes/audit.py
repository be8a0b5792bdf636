"""An audit trail in memory."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from ronkms.audit.digest_keys import KeyedDigest
from ronkms.audit.proof import InclusionProof
from ronkms.errors import AuditUnavailable


class FakeAudit:
    """``records`` in order; ``closed`` makes every append fail from that record on;
    ``held`` is a required sink that takes nothing."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.closed_from: int | None = None
        self.held = False

    def input_digest(self, data: bytes) -> KeyedDigest:
        return KeyedDigest(1, sha256(b"fake key" + data).hexdigest())

    def record(self, **fields: Any) -> int:
        if not self.writable():
            raise AuditUnavailable("the audit log cannot be written", 5)
        self.records.append(fields)
        return len(self.records)

    def check_sinks(self) -> None:
        if self.held:
            raise AuditUnavailable("a required audit sink does not take the records")

    def writable(self) -> bool:
        return self.closed_from is None or len(self.records) < self.closed_from

    def after_fork(self) -> None:
        """Nothing to reopen."""


class FakeReceipts:
    """Proofs of the right shape; ``closed`` gives none."""

    def __init__(self) -> None:
        self.closed = False

    def prove(self, record: int) -> InclusionProof:
        if self.closed:
            raise AuditUnavailable("no checkpoint was signed in time")
        return InclusionProof(record="{}", index=record, size=record + 1, hashes=[bytes(32)], checkpoint="")
