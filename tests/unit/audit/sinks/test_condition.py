"""When a sink is up, and when it holds operations back."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ronkms.audit.sinks.board import State
from ronkms.audit.sinks.condition import Condition, ConditionWatch
from ronkms.domain.audit_sink import AuditSink

REQUIRED = AuditSink(name="a", target="file:/a", policy="required", max_delay_ms=1000, max_lag=100)
BEST_EFFORT = AuditSink(name="a", target="file:/a")


class Steps:
    """Assesses at times in seconds."""

    def __init__(self, sink: AuditSink = REQUIRED) -> None:
        self.watch = ConditionWatch(sink, 0.0, 0, 0)

    def at(self, now: float, record: int, head: int, fault: str = "", *, reached: bool = True) -> Condition:
        return self.watch.assess(now, record=record, head=head, fault=fault, reached=reached)


def test_up_while_it_follows() -> None:
    steps = Steps()
    for turn in range(100):
        assert steps.at(turn * 0.05, 10 * turn, 10 * turn + 9) == (State.UP, False, "")


def test_holds_until_it_was_reached() -> None:
    steps = Steps()
    assert steps.at(0.05, 0, 0, reached=False) == (State.STARTING, True, "it was not reached yet")
    assert steps.at(0.1, 0, 0, "refused", reached=False) == (State.DOWN, True, "refused")
    assert steps.at(0.15, 0, 0) == (State.UP, False, "")
    assert not Steps(BEST_EFFORT).at(0.05, 0, 0, reached=False).holding


def test_a_fault_is_told_at_once_and_holds_when_it_lasts() -> None:
    steps = Steps()
    assert steps.at(5.0, 0, 0) == (State.UP, False, "")
    assert steps.at(5.05, 0, 0, "refused") == (State.DOWN, False, "refused")
    assert steps.at(6.0, 0, 0, "refused") == (State.DOWN, False, "refused")
    assert steps.at(6.1, 0, 0, "refused") == (State.DOWN, True, "refused")
    assert steps.at(6.15, 0, 0) == (State.UP, False, "")


def test_one_that_takes_nothing_is_stuck() -> None:
    steps = Steps()
    assert steps.at(5.0, 10, 10).state == State.UP
    assert steps.at(5.05, 10, 20) == (State.UP, False, "")
    assert steps.at(5.95, 10, 20) == (State.UP, False, "")
    stuck = steps.at(6.1, 10, 20)
    assert (stuck.state, stuck.holding) == (State.DOWN, True)
    assert stuck.reason == "stuck: it has taken no record for 1000 ms"
    assert steps.at(6.2, 12, 30) == (State.DOWN, True, "it was stuck, and 18 records wait")
    assert steps.at(6.3, 20, 30) == (State.UP, False, "")


def test_one_that_is_slow_holds_until_it_has_caught_up() -> None:
    steps = Steps()
    steps.at(0.0, 0, 50)
    assert not steps.at(0.9, 20, 60).holding
    slow = steps.at(1.1, 40, 70)
    assert (slow.state, slow.holding) == (State.UP, True)
    assert slow.reason == "behind: 30 records wait, one for more than 1000 ms"
    assert steps.at(1.2, 60, 70) == (State.UP, False, "")


def test_too_many_waiting_records_hold() -> None:
    steps = Steps()
    assert not steps.at(0.1, 0, 100).holding
    assert steps.at(0.2, 0, 101) == (State.UP, True, "behind: 101 records wait, 100 may")
    assert Steps(BEST_EFFORT).at(0.2, 0, 1_000_000) == (State.UP, False, "")


def test_best_effort_never_holds() -> None:
    steps = Steps(BEST_EFFORT)
    steps.at(0.0, 0, 10)
    assert steps.at(9.0, 0, 10, "gone") == (State.DOWN, False, "gone")
    assert steps.at(9.1, 0, 10).state == State.DOWN, "stuck"


_STEP = st.tuples(st.floats(0.01, 0.2), st.integers(0, 20), st.integers(0, 20), st.booleans())


@given(st.lists(_STEP, max_size=60))
def test_no_record_waits_unnoticed(steps: list[tuple[float, int, int, bool]]) -> None:
    """Against a model that remembers when each record was written."""
    watch = ConditionWatch(REQUIRED, 0.0, 0, 0)
    now, record = 0.0, 0
    written: list[float] = []
    faulty_since: Any = None
    for pause, new, taken, fault in steps:
        now += pause
        written += [now] * new
        record = min(record + taken, len(written))
        faulty_since = (now if faulty_since is None else faulty_since) if fault else None
        found = watch.assess(
            now, record=record, head=len(written), fault="gone" if fault else "", reached=True
        )
        oldest = now - written[record] if record < len(written) else 0.0
        if oldest > 2.2:
            assert found.holding, "noticed within max_delay after it began to wait too long"
        if found.holding:
            assert (
                oldest > 1.0
                or len(written) - record > 100
                or (fault and now - faulty_since > 1.0)
                or (found.state == State.DOWN)
            )
        if not fault and record == len(written):
            assert found == (State.UP, False, "")
