"""The audit trail over the native log: what happened, appended before the answer leaves."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping
from threading import Lock
from types import MappingProxyType
from typing import Final, Protocol

from ronkms_native import AuditHeld, AuditLog, AuditWriteError

from ronkms.audit.digest_epochs import ANNOUNCEMENT
from ronkms.audit.digest_keys import NO_DIGEST, KeyedDigest
from ronkms.audit.escrow import Escrow
from ronkms.audit.record import MAX_DETAIL, VERSION, Body, bounded, encode_body
from ronkms.audit.retention_state import OPERATION as REMOVAL
from ronkms.audit.retention_state import Removal
from ronkms.domain.operation import DURABLE, Operation, Outcome
from ronkms.errors import AuditUnavailable

SUMMARY: Final = "summary"
"""``op`` of a summary record; no capability grants it."""
_NONE: Final[Mapping[str, int]] = MappingProxyType({})
_UNAVAILABLE: Final = "the audit log cannot be written, so nothing is done; see the server's log"
_OUTCOME_UNKNOWN: Final = (
    "the audit log took the intent and then could not be written: the change may be in force, so look before"
    " asking again; its outcome is recorded when the log can be written again, or at the next start"
)
_HELD: Final = "a required audit sink does not take the records, so nothing is done; see ronctl audit sinks"
_OUTCOME: Final = "outcome"


class InputDigests(Protocol):
    """``ronkms.audit.digest_keys.DigestKeys``."""

    def digest(self, data: bytes) -> KeyedDigest: ...
    def after_fork(self) -> None: ...


class AuditLogTrail:
    """Implements ``audit.protocol.AuditTrail``.

    ``sync_all`` is ``KMS_AUDIT_SYNC=all``. ``count`` is called once for each
    record written."""

    def __init__(
        self,
        log: AuditLog,
        *,
        digests: InputDigests,
        sync_all: bool = False,
        count: Callable[[], None] = lambda: None,
    ) -> None:
        self._log = log
        self._digests = digests
        self._sync_all = sync_all
        self._count = count
        self._owed: deque[Body] = deque()
        self._paying = Lock()

    @property
    def native(self) -> AuditLog:
        """The log that this trail appends to."""
        return self._log

    @property
    def head(self) -> tuple[int, str]:
        """(number of records, hex of the last one's leaf hash): an anchor to keep outside the directory."""
        return self._log.head

    def input_digest(self, data: bytes) -> KeyedDigest:
        """See ``audit.protocol.AuditTrail``."""
        return self._digests.digest(data)

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
        keys: Mapping[str, int] = _NONE,
    ) -> int:
        """See ``audit.protocol.AuditTrail``. Names over 128 characters and details over 256 are cut."""
        body = Body(
            v=VERSION,
            op=op.value,
            outcome=outcome.value,
            tenant=bounded(tenant),
            token=bounded(token_id),
            corr_id=bounded(corr_id),
            key_id=bounded(key_id),
            key_version=key_version,
            alg=bounded(alg),
            code=bounded(code),
            digest=digest.value,
            dk=digest.epoch,
            detail=bounded(detail, MAX_DETAIL),
            phase=bounded(phase),
            pid=(pid or os.getpid()) if phase else 0,
            items=items,
            keys=dict(keys),
        )
        # What was begun is recorded, though a required sink may have failed in between.
        begun = phase == _OUTCOME
        try:
            self._append_owed()
            return self._append(body, durable=self._sync_all or op in DURABLE, anyway=begun)
        except AuditUnavailable as error:
            if not begun:
                raise
            self._owed.append(body)
            raise AuditUnavailable(_OUTCOME_UNKNOWN) from error

    def _append_owed(self) -> None:
        """The outcomes that could not be written when they were known, before anything new."""
        if not self._owed:
            return
        with self._paying:
            while self._owed:
                self._append(self._owed[0], durable=True, anyway=True)
                self._owed.popleft()

    def announce_digest_key(
        self, *, epoch: int, check: str, escrow: Escrow | None, token_id: str, corr_id: str
    ) -> int:
        """Appends the record that announces an epoch of digest keys (docs/formats/audit-digest.md).

        On disk when it returns the sequence number. Raises AuditUnavailable."""
        body = Body(
            v=VERSION,
            op=ANNOUNCEMENT,
            outcome=Outcome.OK.value,
            tenant="",
            token=token_id,
            corr_id=corr_id,
            dk=epoch,
            check=check,
            escrow=escrow,
        )
        return self._append(body, durable=True)

    def record_removal(self, removal: Removal, *, token_id: str, corr_id: str) -> int:
        """Appends the record that old segments leave (docs/formats/audit-archive.md).

        On disk when it returns the sequence number. Raises AuditUnavailable."""
        body = Body(
            v=VERSION,
            op=REMOVAL,
            outcome=Outcome.OK.value,
            tenant="",
            token=token_id,
            corr_id=corr_id,
            retention=removal,
        )
        return self._append(body, durable=True)

    def summarize(self, counts: Mapping[str, int]) -> int:
        """Appends a summary record: how many requests were refused without a record of their own, by reason.

        On disk when it returns the sequence number. Raises AuditUnavailable."""
        body = Body(
            v=VERSION,
            op=SUMMARY,
            outcome=Outcome.REJECTED.value,
            tenant="",
            token="",
            corr_id="",
            counts=dict(counts),
        )
        return self._append(body, durable=True)

    def _append(self, body: Body, *, durable: bool, anyway: bool = False) -> int:
        try:
            seq = self._log.append(encode_body(body), anyway=anyway)
            if durable:
                self._log.wait_durable(seq)
        except AuditHeld as error:
            raise AuditUnavailable(_HELD) from error
        except AuditWriteError as error:
            raise AuditUnavailable(_UNAVAILABLE) from error
        self._count()
        return seq

    def require_sinks(self) -> None:
        """In a worker: from now on operations need the required sinks (docs/formats/audit-sinks.md)."""
        self._log.require_lease()

    def check_sinks(self) -> None:
        """See ``audit.protocol.AuditTrail``."""
        try:
            self._log.check_lease()
        except AuditHeld as error:
            raise AuditUnavailable(_HELD) from error

    def writable(self) -> bool:
        """See ``audit.protocol.AuditTrail``."""
        return self._log.writable()

    def after_fork(self) -> None:
        """See ``audit.protocol.AuditTrail``."""
        self._log.after_fork()
        self._owed.clear()
        self._paying = Lock()
        self._digests.after_fork()
