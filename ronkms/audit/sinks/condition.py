"""Whether a sink is up, and whether it holds operations back. No I/O."""

from __future__ import annotations

from typing import NamedTuple

from ronkms.audit.sinks.board import State
from ronkms.domain.audit_sink import AuditSink


class Condition(NamedTuple):
    """``reason`` says why it is not up, or holds."""

    state: State
    holding: bool
    reason: str


class ConditionWatch:
    """Follows one sink. Times are monotonic seconds."""

    def __init__(self, sink: AuditSink, now: float, record: int, head: int) -> None:
        self._sink = sink
        self._longest = sink.max_delay_ms / 1000
        self._mark = (now, head)
        """At that time the log had so many records; the sink has not taken all of them yet."""
        self._record = record
        self._moved_at = now
        self._stuck = False
        self._down_since: float | None = None

    def assess(self, now: float, *, record: int, head: int, fault: str, reached: bool) -> Condition:
        """``record``: the next to deliver; ``head``: records of the log; ``reached``: it was well once."""
        if record != self._record:
            self._record, self._moved_at = record, now
        if record >= self._mark[1]:
            self._mark = (now, head)
        waits = now - self._mark[0]
        overdue = waits > self._longest
        still = overdue and now - self._moved_at > self._longest
        # One that takes a batch now and then stays down until it has caught up.
        self._stuck = overdue and (still or self._stuck)
        lag = head - record
        reason = fault
        if not reason and still:
            reason = f"stuck: it has taken no record for {self._sink.max_delay_ms} ms"
        elif not reason and self._stuck:
            reason = f"it was stuck, and {lag} records wait"
        if not reason and not reached:
            reason = "it was not reached yet"
            return Condition(State.STARTING, self._sink.required, reason)
        if reason:
            self._down_since = now if self._down_since is None else self._down_since
        else:
            self._down_since = None
        lasts = self._down_since is not None and now - self._down_since > self._longest
        if not reason and overdue:
            reason = f"behind: {lag} records wait, one for more than {self._sink.max_delay_ms} ms"
        elif not reason and self._sink.required and lag > self._sink.max_lag:
            reason = f"behind: {lag} records wait, {self._sink.max_lag} may"
        holding = self._sink.required and (not reached or lasts or overdue or lag > self._sink.max_lag)
        return Condition(State.UP if self._down_since is None else State.DOWN, holding, reason)
