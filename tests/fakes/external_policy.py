"""A decision point in memory, and the external policy over it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from ronkms_native import Arena

from ronkms.domain.measure import CAPABILITY, EXTERNAL_POLICY, POLICY
from ronkms.policy.external.decisions import Decisions, Limits
from ronkms.policy.external.operation_class import OperationClass
from ronkms.service.external_policy import ExternalPolicy
from ronkms.service.external_policy_meter import ArenaMeter

LIMITS = Limits(
    timeout=0.25,
    cache_ttl=60.0,
    cache_deny_ttl=60.0,
    cache_max=4096,
    breaker_failures=1000,
    breaker_cooldown=60.0,
)


class FakePoint:
    """``decide`` gets the question's input and gives the result, or raises what the client would."""

    def __init__(self, decide: Callable[[dict[str, Any]], Any] = lambda _: True) -> None:
        self.decide = decide
        self.asked: list[dict[str, Any]] = []

    def ask(self, body: bytes, deadline: float) -> bytes:
        question = json.loads(body)["input"]
        self.asked.append(question)
        return json.dumps({"result": self.decide(question), "decision_id": "d-7"}).encode()


def fake_external_policy(
    arena: Arena, point: FakePoint, fail_open: Iterable[OperationClass] = (), **limits: Any
) -> ExternalPolicy:
    """As ``app`` composes it."""
    meter = ArenaMeter(arena)
    decisions = Decisions(
        lambda: point,  # type: ignore[arg-type,return-value]
        LIMITS._replace(**limits),
        generations=lambda: tuple(map(arena.generation, (CAPABILITY, POLICY, EXTERNAL_POLICY))),
        meter=meter,
    )
    return ExternalPolicy(decisions, fail_open=frozenset(fail_open), count=meter.count)
