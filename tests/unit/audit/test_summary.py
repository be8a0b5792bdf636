"""Summary records count what was refused, once."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import pytest

from ronkms.audit.summary import RefusalSummary
from ronkms.domain.measure import COUNTER_INDEX, COUNTERS
from ronkms.errors import AuditUnavailable


class Counted:
    """Counters as the arena has them, and the summaries written."""

    def __init__(self) -> None:
        self.values = dict.fromkeys(COUNTERS, 0)
        self.summaries: list[Mapping[str, int]] = []
        self.full = False

    def refuse(self, reason: str, times: int = 1) -> None:
        self.count(COUNTER_INDEX[f"rejected_total|{reason}"], times)

    def count(self, counter: int, n: int = 1) -> None:
        self.values[COUNTERS[counter]] += n

    def snapshot(self) -> SimpleNamespace:
        return SimpleNamespace(counters=dict(self.values))

    def summarize(self, counts: Mapping[str, int]) -> int:
        if self.full:
            raise AuditUnavailable("the audit log cannot be written")
        self.summaries.append(counts)
        return len(self.summaries)


def test_what_was_refused_is_counted_once() -> None:
    counted = Counted()
    summary = RefusalSummary(counted, counted)
    summary.write()
    assert counted.summaries == []
    counted.refuse("unauthenticated", 1000)
    counted.refuse("backpressure")
    summary.write()
    summary.write()
    counted.refuse("unauthenticated")
    # A successor of the admin process goes on where it ended.
    RefusalSummary(counted, counted).write()
    assert counted.summaries == [{"backpressure": 1, "unauthenticated": 1000}, {"unauthenticated": 1}]


def test_denied_requests_have_records_of_their_own() -> None:
    counted = Counted()
    counted.refuse("denied", 5)
    RefusalSummary(counted, counted).write()
    assert counted.summaries == []


def test_what_could_not_be_written_is_in_the_next() -> None:
    counted = Counted()
    summary = RefusalSummary(counted, counted)
    counted.refuse("malformed", 2)
    counted.full = True
    with pytest.raises(AuditUnavailable):
        summary.write()
    counted.full = False
    counted.refuse("malformed")
    summary.write()
    assert counted.summaries == [{"malformed": 3}]
