"""Receipts: the proof that a record which was just written is in the log, under a signed checkpoint.

A worker asks for it; the checkpoint is made by the admin process (``checkpointer``). The two meet in counters
of the arena and in the files of the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from ronkms_native import AuditWriteError

from ronkms.audit.proof import InclusionProof, prove_inclusion
from ronkms.errors import AuditUnavailable, BadRequest, IntegrityError

TIMEOUT_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.002


class Receipts(Protocol):
    """What the service asks for."""

    def prove(self, record: int) -> InclusionProof:
        """Of a record that was appended. Raises AuditUnavailable."""


class DurableLog(Protocol):
    """The part of ``ronkms_native.AuditLog`` that is used here."""

    def wait_durable(self, seq: int) -> None: ...


class CheckpointReceipts:
    """Implements ``Receipts``. ``ask`` makes the checkpointer sign at once; ``published`` changes with each
    checkpoint. Any number of threads may wait."""

    def __init__(
        self,
        directory: Path,
        log: DurableLog,
        *,
        ask: Callable[[], object],
        published: Callable[[], int],
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._directory = directory
        self._log = log
        self._ask = ask
        self._published = published
        self._timeout = timeout_seconds

    def prove(self, record: int) -> InclusionProof:
        """See ``Receipts``. Waits for the disk and the checkpoint, the GIL released."""
        deadline = time.monotonic() + self._timeout
        try:
            self._log.wait_durable(record)
            self._ask()
            seen = -1
            while time.monotonic() < deadline:
                published = self._published()
                if published != seen:
                    seen = published
                    proof = self._try(record)
                    if proof is not None:
                        return proof
                time.sleep(_POLL_SECONDS)
        except (AuditWriteError, IntegrityError, OSError) as error:
            raise AuditUnavailable(_NO_RECEIPT.format(record)) from error
        raise AuditUnavailable(_NO_RECEIPT.format(record))

    def _try(self, record: int) -> InclusionProof | None:
        try:
            return prove_inclusion(self._directory, record)
        except BadRequest:  # the newest checkpoint is older
            return None


_NO_RECEIPT: Final = (
    "no checkpoint was signed in time, so there is no receipt and no answer; the operation is in the log"
    " as record {}"
)
