"""One authenticated request on its way through the service."""

from __future__ import annotations

from ronkms.capability.protocol import Capability
from ronkms.domain.operation import Operation, Outcome


class Call:
    """Who asks for what, what was found out so far, and what the audit record will say.

    Mutable on purpose: each step fills in what it learns, so that a refusal at any step is recorded with
    all that was known. Belongs to one thread.
    """

    __slots__ = (
        "alg",
        "capability",
        "corr_id",
        "cost",
        "detail",
        "input",
        "items",
        "key_id",
        "key_version",
        "missed",
        "op",
        "outcome",
        "permit",
        "phase",
        "tenant",
        "tenant_bytes",
    )

    def __init__(self, op: Operation, capability: Capability, corr_id: str) -> None:
        self.op = op
        self.capability = capability
        self.corr_id = corr_id
        self.tenant = capability.tenant
        self.tenant_bytes = self.tenant.encode()
        self.permit = -1
        self.cost = 0
        self.outcome = Outcome.OK
        self.key_id = ""
        self.key_version = 0
        self.alg = ""
        self.input = b""
        """What the keyed digest of the audit record is taken over; empty for none."""
        self.items = 0
        self.missed = False
        """A verification that the cache did not answer."""
        self.detail = ""
        self.phase = ""
