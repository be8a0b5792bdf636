"""Decisions of the external policy in one process: remembered, or asked for through a breaker.

Invariants: a decision is given out for its life at most, counted from before it was asked for, and only as
long as the generations that were read before still stand; a failure is never remembered as a decision.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic, time
from typing import Final, NamedTuple, Protocol

import structlog

from ronkms.capability.cache import RecentlyUsed
from ronkms.errors import PolicyUnavailable
from ronkms.policy.external.answer import Answer, MalformedAnswerError, parse_answer
from ronkms.policy.external.breaker import Breaker, BreakerOpenError, BreakerState, Pass
from ronkms.policy.external.decision_point import DecisionPoint, Fault, PointError
from ronkms.policy.external.question import Question, encode_question

ALLOWED: Final = "allow"
DENIED: Final = "deny"

_log = structlog.get_logger()


class Decision(NamedTuple):
    """``until``: as ``time.monotonic``. ``generations``: those that it holds under."""

    answer: Answer
    until: float
    generations: tuple[int, ...]


class Limits(NamedTuple):
    """The settings ``policy_*`` of the same names; times in seconds."""

    timeout: float
    cache_ttl: float
    cache_deny_ttl: float
    cache_max: int
    breaker_failures: int
    breaker_cooldown: float


class Meter(Protocol):
    """What is counted."""

    def asked(self, tenant: str, outcome: str, nanoseconds: int) -> None:
        """A question was sent; ``outcome``: ALLOWED, DENIED or a Fault."""

    def looked_up(self, *, hit: bool) -> None:
        """A decision was wanted."""


class LastFault(NamedTuple):
    """``at``: Unix seconds."""

    fault: Fault
    message: str
    at: int


class Decisions:
    """One a process, shared by its threads."""

    def __init__(
        self,
        connect: Callable[[], DecisionPoint],
        limits: Limits,
        *,
        generations: Callable[[], tuple[int, ...]],
        meter: Meter,
    ) -> None:
        """``generations``: whatever ends all decisions when it changes."""
        self._connect = connect
        self._limits = limits
        self._generations = generations
        self._meter = meter
        self._start()

    def _start(self) -> None:
        limits = self._limits
        self._point = self._connect()
        self._breaker = Breaker(limits.breaker_failures, limits.breaker_cooldown)
        self._remembered: RecentlyUsed[Decision] = RecentlyUsed(limits.cache_max)
        self.last_fault: LastFault | None = None

    def after_fork(self) -> None:
        """To be called in each child: no connection, lock or decision is shared."""
        self._start()

    @property
    def timeout(self) -> float:
        """Seconds that one question may take."""
        return self._limits.timeout

    @property
    def breaker(self) -> BreakerState:
        """Of this process."""
        return self._breaker.state

    def remembered(self, question: Question) -> Decision | None:
        """A decision that holds now, without asking."""
        return self._find(question.name(), self._generations())

    def decide(self, question: Question, corr_id: str, before_asking: Callable[[], None]) -> Answer:
        """``before_asking`` is called if nothing is remembered and the breaker lets the question through.

        Raises what that raises, and PolicyUnavailable."""
        generations = self._generations()
        name = question.name()
        found = self._find(name, generations)
        self._meter.looked_up(hit=found is not None)
        if found is not None:
            return found.answer
        asked_at = monotonic()
        answer = self._ask(question, corr_id, before_asking)
        limits = self._limits
        life = limits.cache_ttl if answer.allow else min(limits.cache_ttl, limits.cache_deny_ttl)
        if life > 0:
            self._remembered.put(name, Decision(answer, asked_at + life, generations))
        return answer

    def _ask(self, question: Question, corr_id: str, before_asking: Callable[[], None]) -> Answer:
        try:
            passed = self._breaker.enter()
        except BreakerOpenError as error:
            last = f"; {self.last_fault.message}" if self.last_fault else ""
            raise PolicyUnavailable(
                retry_after=max(1, math.ceil(error.seconds)),
                fault=Fault.BREAKER_OPEN,
                reason=f"the breaker is open{last}",
            ) from None
        try:
            before_asking()
        except BaseException:
            self._breaker.unused(passed)
            raise
        began = monotonic()
        try:
            answer = self.ask_anew(question, corr_id)
        except PolicyUnavailable as error:
            if error.fault == Fault.BUSY:
                self._breaker.unused(passed)
            else:
                self._meter.asked(question.tenant, error.fault, _nanoseconds_since(began))
                self._failed(passed, error)
            raise
        except BaseException:
            self._breaker.failed(passed)
            raise
        if self._breaker.succeeded(passed):
            _log.info("external_policy_breaker_closed")
        self._meter.asked(question.tenant, ALLOWED if answer.allow else DENIED, _nanoseconds_since(began))
        return answer

    def ask_anew(self, question: Question, corr_id: str) -> Answer:
        """Asks now, whatever is remembered and whatever the breaker says; neither learns of it, and nothing
        is counted. Raises PolicyUnavailable."""
        body = encode_question(question, corr_id, int(time()))
        try:
            return parse_answer(self._point.ask(body, monotonic() + self._limits.timeout))
        except PointError as error:
            raise PolicyUnavailable(fault=error.fault, reason=str(error)) from None
        except MalformedAnswerError as error:
            raise PolicyUnavailable(fault=Fault.BAD_ANSWER, reason=f"its answer is {error}") from None

    def _failed(self, passed: Pass, error: PolicyUnavailable) -> None:
        self.last_fault = LastFault(Fault(error.fault), error.reason, int(time()))
        if self._breaker.failed(passed):
            _log.warning("external_policy_breaker_opened", fault=error.fault, error=error.reason)

    def _find(self, name: bytes, generations: tuple[int, ...]) -> Decision | None:
        found = self._remembered.get(name)
        if found is None or found.generations != generations or monotonic() >= found.until:
            return None
        return found


def _nanoseconds_since(began: float) -> int:
    return int((monotonic() - began) * 1e9)
