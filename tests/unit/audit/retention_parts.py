"""A real log in small segments, with its checkpointer, and the retention over it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ronkms_native import AuditLog, Custody

from ronkms.audit.archive import Archive
from ronkms.audit.checkpointer import Checkpointer
from ronkms.audit.log import AuditLogTrail
from ronkms.audit.log_keys import LogSigner
from ronkms.audit.retention import Retention, RetentionRules
from ronkms.audit.segments import list_segments
from tests.fakes.api import make_arena
from tests.unit.audit.digest_parts import DAY, NoDigests

SEGMENT_BYTES = 4096
RECORD = b'"v":1,"op":"sign","outcome":"ok","tenant":"acme","token":"00","corr_id":"c","key_id":"orders-1"}'


class RetainedLog:
    """``directory``: of the log. ``later`` moves the clock of the retention."""

    def __init__(self, directory: Path, custody: Custody) -> None:
        self.directory = directory
        self.log = AuditLog.open(make_arena(), str(directory), SEGMENT_BYTES)
        self.signer = LogSigner(directory, custody)
        self.trail = AuditLogTrail(self.log, digests=NoDigests())
        self.checkpointer = Checkpointer(
            directory,
            log=self.log,
            signer=self.signer,
            wanted=lambda: 0,
            announce=lambda: None,
            count_failure=lambda: None,
        )
        self.later = 0.0

    def fill(self, segments: int, *, sign: bool = True) -> None:
        """Appends until there are so many segments more."""
        end = len(list_segments(self.directory)) + segments
        while len(list_segments(self.directory)) < end:
            seq = self.log.append(RECORD)
        self.log.wait_durable(seq)
        if sign:
            self.checkpointer.step(history=True)

    def retention(
        self,
        *,
        days: float = 30,
        seconds: int = 0,
        archive: Path | None = None,
        needed: Sequence[Callable[[], int]] = (),
    ) -> Retention:
        return Retention(
            self.directory,
            rules=RetentionRules(seconds, days),
            archive=None if archive is None else Archive(archive, self.signer.origin),
            log=self.log,
            trail=self.trail,
            needed=needed,
            clock=lambda: time.time() + self.later,
        )

    def age(self, days: float) -> None:
        self.later += days * DAY

    @property
    def numbers(self) -> list[int]:
        return [segment.number for segment in list_segments(self.directory)]
