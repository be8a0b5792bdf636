"""Counts questions to the external policy in the arena, so that the numbers are those of all workers."""

from __future__ import annotations

from typing import Final

from ronkms_native import Arena

from ronkms.domain.measure import (
    ALG_INDEX,
    COUNTER_INDEX,
    EXTERNAL_POLICY_ASKED,
    EXTERNAL_POLICY_OUTCOMES,
    NO_ALG,
    OUTCOME_INDEX,
)
from ronkms.domain.operation import Outcome

_OUTCOMES: Final = {
    outcome: COUNTER_INDEX[f"kms_external_policy_requests_total|{outcome}"]
    for outcome in EXTERNAL_POLICY_OUTCOMES
}
_HIT: Final = COUNTER_INDEX["kms_external_policy_cache_total|hit"]
_MISS: Final = COUNTER_INDEX["kms_external_policy_cache_total|miss"]


class ArenaMeter:
    """Implements ``policy.external.decisions.Meter``."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena

    def asked(self, tenant: str, outcome: str, nanoseconds: int) -> None:
        """See ``policy.external.decisions.Meter``."""
        self._arena.count(_OUTCOMES[outcome])
        self._arena.observe(
            EXTERNAL_POLICY_ASKED,
            ALG_INDEX[NO_ALG],
            OUTCOME_INDEX[Outcome.OK],
            tenant.encode(),
            nanoseconds,
        )

    def looked_up(self, *, hit: bool) -> None:
        """See ``policy.external.decisions.Meter``."""
        self._arena.count(_HIT if hit else _MISS)

    def count(self, name: str) -> None:
        """One more of a counter of ``domain.measure``."""
        self._arena.count(COUNTER_INDEX[name])
