"""What is remembered, for how long, and what ends it; the breaker around the decision point."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from ronkms.domain.operation import Operation
from ronkms.errors import PolicyUnavailable
from ronkms.policy.external import breaker, decisions
from ronkms.policy.external.breaker import BreakerState
from ronkms.policy.external.decision_point import Fault, PointError
from ronkms.policy.external.decisions import Decisions, Limits
from ronkms.policy.external.operation_class import OperationClass, class_of
from ronkms.policy.external.question import KeyFacts, Question, encode_question

QUESTION = Question(
    tenant="acme",
    operation="sign",
    action="sign",
    operation_class=OperationClass.SIGN,
    token_id="00" * 16,
    client_cert_sha256=None,
    source="192.0.2.7",
    items=1,
    alg="Ed25519",
    key=KeyFacts("orders-1", "sign", "enabled", {"env": "prod", "b": "c"}),
)
OTHERS = {
    "tenant": "other",
    "operation": "verify",
    "action": "datakey",
    "operation_class": OperationClass.UNWRAP,
    "token_id": "11" * 16,
    "client_cert_sha256": "ab" * 32,
    "source": None,
    "items": 2,
    "alg": "ES256",
    "key": None,
}


class Point:
    """Answers as told; remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: object = {"result": True}
        self.asked: list[dict[str, Any]] = []

    def ask(self, body: bytes, deadline: float) -> bytes:
        self.asked.append(json.loads(body)["input"])
        if isinstance(self.answer, Exception):
            raise self.answer
        return json.dumps(self.answer).encode() if isinstance(self.answer, dict) else b"?"


class Meter:
    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.lookups: list[bool] = []

    def asked(self, tenant: str, outcome: str, nanoseconds: int) -> None:
        assert tenant in {"acme", "other"}
        assert nanoseconds >= 0
        self.outcomes.append(outcome)

    def looked_up(self, *, hit: bool) -> None:
        self.lookups.append(hit)


class Made:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, **limits: float) -> None:
        self.now = 1000.0
        self.generation = 0
        self.point = Point()
        self.meter = Meter()
        monkeypatch.setattr(decisions, "monotonic", lambda: self.now)
        chosen: dict[str, Any] = {
            "timeout": 0.25,
            "cache_ttl": 5.0,
            "cache_deny_ttl": 1.0,
            "cache_max": 4,
            "breaker_failures": 3,
            "breaker_cooldown": 2.0,
        }
        clock = lambda: self.now  # noqa: E731
        monkeypatch.setattr(
            decisions, "Breaker", lambda failures, cooldown: breaker.Breaker(failures, cooldown, clock)
        )
        self.decisions = Decisions(
            lambda: self.point,  # type: ignore[arg-type,return-value]
            Limits(**(chosen | limits)),
            generations=lambda: (self.generation,),
            meter=self.meter,
        )

    def allows(self, question: Question = QUESTION) -> bool:
        return self.decisions.decide(question, "corr", lambda: None).allow

    def fault(self, question: Question = QUESTION) -> PolicyUnavailable:
        with pytest.raises(PolicyUnavailable) as caught:
            self.decisions.decide(question, "corr", lambda: None)
        return caught.value


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Made]:
    return lambda **limits: Made(monkeypatch, **limits)


def test_the_question_has_every_fact_and_no_more() -> None:
    assert json.loads(encode_question(QUESTION, "c-1", 1_800_000_000)) == {
        "input": {
            "v": 1,
            "corr_id": "c-1",
            "time": 1_800_000_000,
            "tenant": "acme",
            "operation": "sign",
            "action": "sign",
            "class": "sign",
            "token_id": "00" * 16,
            "client_cert_sha256": None,
            "source": "192.0.2.7",
            "items": 1,
            "alg": "Ed25519",
            "key": {
                "id": "orders-1",
                "usage": "sign",
                "state": "enabled",
                "labels": {"env": "prod", "b": "c"},
            },
        }
    }


def test_every_fact_makes_another_question() -> None:
    assert set(OTHERS) == set(QUESTION.__struct_fields__)
    key = QUESTION.key
    assert key is not None
    keys = [
        replace(key, id="orders-2"),
        replace(key, usage="wrap"),
        replace(key, state="disabled"),
        replace(key, labels={"env": "prod"}),
    ]
    made = [replace(QUESTION, **{name: value}) for name, value in OTHERS.items()]
    made += [replace(QUESTION, key=each) for each in keys]
    names = {question.name() for question in (QUESTION, *made)}
    assert len(names) == 1 + len(made)


def test_the_order_of_labels_does_not() -> None:
    turned = replace(QUESTION, key=KeyFacts("orders-1", "sign", "enabled", {"b": "c", "env": "prod"}))
    assert turned.name() == QUESTION.name()


def test_an_allow_and_a_deny_have_lives_of_their_own(make: Callable[..., Made]) -> None:
    made = make()
    assert made.allows()
    made.point.answer = {"result": False}
    made.now += 4.99
    assert made.allows()
    made.now += 0.01
    assert not made.allows()
    made.point.answer = {"result": True}
    made.now += 0.99
    assert not made.allows()
    made.now += 0.01
    assert made.allows()
    assert made.meter.lookups == [False, True, False, True, False]
    assert made.meter.outcomes == ["allow", "deny", "allow"]


def test_a_deny_never_lives_longer_than_an_allow(make: Callable[..., Made]) -> None:
    made = make(cache_ttl=0.5, cache_deny_ttl=10.0)
    made.point.answer = {}
    assert not made.allows()
    made.now += 0.5
    made.point.answer = {"result": True}
    assert made.allows()


def test_nothing_is_remembered_with_a_life_of_zero(make: Callable[..., Made]) -> None:
    made = make(cache_ttl=0.0)
    assert [made.allows() for _ in range(3)] == [True] * 3
    assert len(made.point.asked) == 3


def test_a_life_begins_before_the_question(make: Callable[..., Made]) -> None:
    made = make()
    slow = made.point.ask

    def takes_two_seconds(body: bytes, deadline: float) -> bytes:
        made.now += 2.0
        return slow(body, deadline)

    made.point.ask = takes_two_seconds  # type: ignore[method-assign]
    assert made.allows()
    made.now += 2.99
    assert made.decisions.remembered(QUESTION) is not None
    made.now += 0.02
    assert made.decisions.remembered(QUESTION) is None


def test_another_generation_ends_all(make: Callable[..., Made]) -> None:
    made = make()
    assert made.allows()
    made.generation += 1
    assert made.decisions.remembered(QUESTION) is None
    made.point.answer = {"result": False}
    assert not made.allows()


def test_a_generation_that_moves_while_asking_ends_the_answer(make: Callable[..., Made]) -> None:
    made = make()
    ask = made.point.ask

    def meanwhile(body: bytes, deadline: float) -> bytes:
        made.generation += 1
        return ask(body, deadline)

    made.point.ask = meanwhile  # type: ignore[method-assign]
    assert made.allows()
    assert made.decisions.remembered(QUESTION) is None


def test_the_least_used_makes_room(make: Callable[..., Made]) -> None:
    made = make()
    questions = [replace(QUESTION, items=number) for number in range(1, 6)]
    for question in questions:
        made.allows(question)
    assert made.decisions.remembered(questions[0]) is None
    assert all(made.decisions.remembered(question) for question in questions[1:])


def test_failures_are_not_remembered_and_open_the_breaker(make: Callable[..., Made]) -> None:
    made = make()
    made.point.answer = PointError(Fault.TIMEOUT, "dripping")
    assert [made.fault().fault for _ in range(5)] == ["timeout"] * 3 + ["breaker_open"] * 2
    assert len(made.point.asked) == 3
    assert made.decisions.breaker is BreakerState.OPEN
    opened = made.fault()
    assert (opened.retry_after, opened.reason) == (2, "the breaker is open; dripping")
    assert "dripping" not in str(opened)
    made.now += 2.0
    made.point.answer = {"result": True}
    assert made.allows()
    assert made.decisions.breaker is BreakerState.CLOSED
    assert made.meter.outcomes == ["timeout"] * 3 + ["allow"]
    assert made.decisions.last_fault is not None
    assert made.decisions.last_fault.fault is Fault.TIMEOUT


def test_what_is_remembered_is_given_while_the_breaker_is_open(make: Callable[..., Made]) -> None:
    made = make()
    assert made.allows()
    made.point.answer = PointError(Fault.UNREACHABLE, "gone")
    other = replace(QUESTION, items=9)
    for _ in range(3):
        made.fault(other)
    assert made.allows()


def test_garbage_counts_as_a_failure_and_a_busy_client_does_not(make: Callable[..., Made]) -> None:
    made = make()
    made.point.answer = PointError(Fault.BUSY, "all in use")
    assert {made.fault().fault for _ in range(9)} == {"busy"}
    assert made.decisions.breaker is BreakerState.CLOSED
    made.point.answer = "garbage"
    assert [made.fault().fault for _ in range(4)] == ["bad_answer"] * 3 + ["breaker_open"]


def test_a_fork_begins_with_nothing(make: Callable[..., Made]) -> None:
    made = make()
    assert made.allows()
    made.decisions.after_fork()
    assert made.decisions.remembered(QUESTION) is None


def test_every_operation_has_a_class() -> None:
    assert {class_of(operation, operation.value) for operation in Operation} == set(OperationClass)
    assert class_of(Operation.WRAP, "datakey") is OperationClass.UNWRAP
    assert class_of(Operation.WRAP, "wrap") is OperationClass.WRAP
