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

    def asked(self, outcome: str, nanoseconds: int) -> None:
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

    def decide(self, question: Question, corr_id: str, may_ask: Callable[[], float]) -> Answer:
        """``may_ask`` is called before the decision point is asked, and gives the seconds for it.

        Raises what ``may_ask`` raises, and PolicyUnavailable."""
        generations = self._generations()
        name = question.name()
        found = self._find(name, generations)
        self._meter.looked_up(hit=found is not None)
        if found is not None:
            return found.answer
        seconds = may_ask()
        asked_at = monotonic()
        answer = self.ask(question, corr_id, seconds)
        limits = self._limits
        life = limits.cache_ttl if answer.allow else min(limits.cache_ttl, limits.cache_deny_ttl)
        if life > 0:
            self._remembered.put(name, Decision(answer, asked_at + life, generations))
        return answer

    def ask(self, question: Question, corr_id: str, seconds: float) -> Answer:
        """Asks now, whatever is remembered, and remembers nothing. Raises PolicyUnavailable."""
        try:
            passed = self._breaker.enter()
        except BreakerOpenError as error:
            last = f"; {self.last_fault.message}" if self.last_fault else ""
            raise PolicyUnavailable(
                Fault.BREAKER_OPEN, f"the breaker is open{last}", max(1, math.ceil(error.seconds))
            ) from None
        began = monotonic()
        try:
            body = self._point.ask(encode_question(question, corr_id, int(time())), began + seconds)
            answer = parse_answer(body)
        except PointError as error:
            if error.fault is Fault.BUSY:
                self._breaker.unused(passed)
                raise PolicyUnavailable(error.fault, str(error)) from None
            raise self._failed(error.fault, str(error), passed, began) from None
        except MalformedAnswerError as error:
            raise self._failed(Fault.BAD_ANSWER, f"its answer is {error}", passed, began) from None
        except BaseException:
            self._breaker.failed(passed)
            raise
        if self._breaker.succeeded(passed):
            _log.info("external_policy_breaker_closed")
        self._meter.asked(ALLOWED if answer.allow else DENIED, _nanoseconds_since(began))
        return answer

    def _find(self, name: bytes, generations: tuple[int, ...]) -> Decision | None:
        found = self._remembered.get(name)
        if found is None or found.generations != generations or monotonic() >= found.until:
            return None
        return found

    def _failed(self, fault: Fault, message: str, passed: Pass, began: float) -> PolicyUnavailable:
        self._meter.asked(fault.value, _nanoseconds_since(began))
        self.last_fault = LastFault(fault, message, int(time()))
        if self._breaker.failed(passed):
            _log.warning("external_policy_breaker_opened", fault=fault.value, error=message)
        return PolicyUnavailable(fault, message)


def _nanoseconds_since(began: float) -> int:
    return int((monotonic() - began) * 1e9)
