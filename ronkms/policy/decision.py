"""What holds for one key at one moment, and who decides it."""

from __future__ import annotations

from typing import Protocol

import msgspec

from ronkms.policy.pq import AcceptSet, VerifyMode


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """``temporary``: an exception is part of it, which ends by the clock; not to be remembered."""

    accept: AcceptSet
    produce_hybrid: bool = False
    rollout_percent: int = 0
    temporary: bool = False

    @property
    def mode(self) -> VerifyMode:
        """The verify mode that answers name."""
        return self.accept.mode

    @property
    def refuses_classical_signing(self) -> bool:
        """Phase 3: classical signatures are neither accepted nor made."""
        return self.produce_hybrid and self.accept.classical_excluded


class Policy(Protocol):
    """``ronkms.policy.registry.PolicyRegistry``."""

    def decide(self, tenant: str, key_id: str) -> Decision:
        """What holds now; ``key_id`` empty for an inline public key, which has the tenant's policy.

        Sees every change that was answered before. One atomic load when nothing changed. Raises
        IntegrityError, OSError (the journal cannot be read)."""
