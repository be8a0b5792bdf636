"""The circuit breaker against a model that is written down another way: as a list of what happened."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ronkms.policy.external.breaker import Breaker, BreakerOpenError, BreakerState, Pass

FAILURES = 3
COOLDOWN = 10.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened() -> tuple[Breaker, Clock]:
    clock = Clock()
    breaker = Breaker(FAILURES, COOLDOWN, clock)
    for _ in range(FAILURES):
        breaker.failed(breaker.enter())
    return breaker, clock


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(FAILURES, COOLDOWN, Clock())
    for _ in range(20):
        breaker.failed(breaker.enter())
        breaker.failed(breaker.enter())
        breaker.succeeded(breaker.enter())
    assert breaker.state is BreakerState.CLOSED
    assert [breaker.failed(breaker.enter()) for _ in range(FAILURES)] == [False, False, True]
    with pytest.raises(BreakerOpenError) as caught:
        breaker.enter()
    assert caught.value.seconds == COOLDOWN


def test_one_try_after_the_cool_down() -> None:
    breaker, clock = opened()
    clock.now += COOLDOWN
    passed = breaker.enter()
    assert breaker.state is BreakerState.HALF_OPEN
    for _ in range(5):
        with pytest.raises(BreakerOpenError):
            breaker.enter()
    assert breaker.succeeded(passed) is True
    assert breaker.state is BreakerState.CLOSED
    breaker.enter()


def test_a_failed_try_opens_it_for_another_cool_down() -> None:
    breaker, clock = opened()
    clock.now += COOLDOWN
    breaker.failed(breaker.enter())
    clock.now += COOLDOWN - 0.5
    with pytest.raises(BreakerOpenError):
        breaker.enter()
    clock.now += 0.5
    breaker.enter()


def test_a_try_that_was_not_made_leaves_it_to_the_next() -> None:
    breaker, clock = opened()
    clock.now += COOLDOWN
    breaker.unused(breaker.enter())
    breaker.enter()
    assert breaker.state is BreakerState.HALF_OPEN


def test_late_ends_of_older_calls_do_not_count() -> None:
    breaker = Breaker(FAILURES, COOLDOWN, clock := Clock())
    late = breaker.enter()
    for _ in range(FAILURES):
        breaker.failed(breaker.enter())
    assert breaker.succeeded(late) is False
    assert breaker.state is BreakerState.OPEN
    clock.now += COOLDOWN
    trial = breaker.enter()
    assert breaker.failed(late) is False
    assert breaker.state is BreakerState.HALF_OPEN
    breaker.succeeded(trial)
    assert breaker.state is BreakerState.CLOSED


class AnyHistory(RuleBasedStateMachine):
    """What passes: all while fewer than FAILURES failed in a row; then nothing for COOLDOWN; then one."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(FAILURES, COOLDOWN, self.clock)
        self.calls: list[tuple[Pass, int]] = []
        self.term = 0
        self.in_a_row = 0
        self.closed_since: float | None = 0.0
        self.barred_until = 0.0
        self.trial: Pass | None = None

    @rule(seconds=st.floats(min_value=0.0, max_value=COOLDOWN))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def enter(self) -> None:
        expected = self.closed_since is not None or (
            self.trial is None and self.clock.now >= self.barred_until
        )
        try:
            passed = self.breaker.enter()
        except BreakerOpenError:
            assert not expected
            return
        assert expected
        if self.closed_since is None:
            self.trial = passed
            self.term += 1
        self.calls.append((passed, self.term))

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), end=st.sampled_from(["succeeded", "failed", "unused"]))
    def end(self, data: st.DataObject, end: str) -> None:
        passed, term = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        getattr(self.breaker, end)(passed)
        if term != self.term:
            return
        trial = self.closed_since is None
        if end == "succeeded":
            self.in_a_row = 0
            if trial:
                self._move(closed=True)
        elif end == "unused":
            if trial:
                self._move(closed=False)
        else:
            self.in_a_row += 1
            if trial or self.in_a_row == FAILURES:
                self.barred_until = self.clock.now + COOLDOWN
                self._move(closed=False)

    def _move(self, *, closed: bool) -> None:
        self.term += 1
        self.trial = None
        self.in_a_row = 0
        self.closed_since = self.clock.now if closed else None

    @invariant()
    def state(self) -> None:
        if self.closed_since is not None:
            assert self.breaker.state is BreakerState.CLOSED
        else:
            assert self.breaker.state is (BreakerState.HALF_OPEN if self.trial else BreakerState.OPEN)


AnyHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestAnyHistory = AnyHistory.TestCase
