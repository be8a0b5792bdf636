"""Summary records: refusals without a record of their own are counted, so that no flood fills the disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ronkms.domain.measure import COUNTER_INDEX, SUMMARIZED_REASONS


class Counters(Protocol):
    """``ronkms_native.Arena``."""

    def count(self, counter: int, n: int = 1) -> None: ...
    def snapshot(self) -> CountersSnapshot: ...


class CountersSnapshot(Protocol):
    """``ronkms_native.ArenaSnapshot``."""

    @property
    def counters(self) -> Mapping[str, int]: ...


class Summaries(Protocol):
    """``ronkms.audit.log.AuditLogTrail``."""

    def summarize(self, counts: Mapping[str, int]) -> int: ...


class RefusalSummary:
    """Writes what ``rejected_total`` has grown by since the last summary.

    What is covered already is a counter in the arena too, moved on after the record is on disk: an admin
    process that dies in between counts twice, never too little."""

    def __init__(self, counters: Counters, audit: Summaries) -> None:
        self._counters = counters
        self._audit = audit

    def write(self) -> None:
        """One record if anything was refused, none otherwise. To be called from one thread of one process.

        Raises AuditUnavailable: nothing is lost, the next summary has it."""
        counters = self._counters.snapshot().counters
        grown = {
            reason: counters[f"rejected_total|{reason}"] - counters[_summarized(reason)]
            for reason in SUMMARIZED_REASONS
        }
        counts = {reason: count for reason, count in grown.items() if count > 0}
        if not counts:
            return
        self._audit.summarize(counts)
        for reason, count in counts.items():
            self._counters.count(COUNTER_INDEX[_summarized(reason)], count)


def _summarized(reason: str) -> str:
    return f"kms_audit_summarized_total|{reason}"
