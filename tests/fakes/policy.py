"""A policy that says the same of every key until a test changes ``decision``."""

from __future__ import annotations

from ronkms.policy.decision import Decision
from ronkms.policy.pq import AcceptSet, VerifyMode


class FakePolicy:
    """``verify_mode`` as in the settings."""

    def __init__(self, verify_mode: str = "and") -> None:
        self.decision = Decision(accept=AcceptSet.of(VerifyMode(verify_mode)))

    def decide(self, tenant: str, key_id: str) -> Decision:
        return self.decision
