"""One authenticated request on its way through the service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ronkms.capability.pattern import ANY
from ronkms.capability.protocol import Capability
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import Denied, Unauthenticated

if TYPE_CHECKING:
    from ronkms.service.external_policy import Inquiry


class Call:
    """Who asks for what, what was found out so far, and what the audit record will say.

    Mutable on purpose: each step fills in what it learns, so that a refusal at any step is recorded with
    all that was known. Belongs to one thread.
    """

    __slots__ = (
        "alg",
        "background",
        "capability",
        "client_cert",
        "completion",
        "corr_id",
        "cost",
        "detail",
        "draw",
        "input",
        "inquiry",
        "items",
        "key_id",
        "key_version",
        "keys",
        "missed",
        "op",
        "outcome",
        "permit",
        "phase",
        "tenant",
        "tenant_bytes",
    )

    def __init__(self, op: Operation, capability: Capability, corr_id: str, client_cert: str = "") -> None:
        """``client_cert``: SHA-256 of the connection's client certificate, lower-case hex; empty for none."""
        self.op = op
        self.capability = capability
        self.client_cert = client_cert
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
        self.keys: Mapping[str, int] = {}
        """Of a batch on several versions: items by ``key id/version``."""
        self.background = False
        """A batch leaves the cores to others that want them."""
        self.missed = False
        """A verification that the cache did not answer."""
        self.detail = ""
        self.phase = ""
        self.inquiry: Inquiry | None = None
        """The external policy's part in this call; None if there is none."""
        self.draw = -1.0
        """0 to 100, once a key that is disabled in stages was asked for: one for the whole request."""
        self.completion: Callable[[int], Any] | None = None
        """Makes the answer from the number of the audit record, for one that depends on it; may raise
        AuditUnavailable."""

    def apart(self) -> Call:
        """The same request once more, for what must not be written into this."""
        other = Call(self.op, self.capability, self.corr_id, self.client_cert)
        other.inquiry, other.draw = self.inquiry, self.draw
        return other

    def become_batch(self, items: int) -> None:
        """Before any item is decided on."""
        self.items = items
        if self.inquiry is not None:
            self.inquiry.items = items

    @property
    def noted(self) -> str:
        """``detail`` of the audit record: what was noted, after an allowance that nobody gave."""
        undecided = self.inquiry.undecided if self.inquiry is not None else ""
        return " ".join(filter(None, (undecided, self.detail)))

    def tells_reasons(self) -> bool:
        """Whether its holder is an admin, of the key if it is known, who learns which check failed."""
        try:
            self.capability.require(Operation.ADMIN, key_id=self.key_id or ANY, client_cert=self.client_cert)
        except (Denied, Unauthenticated):
            return False
        return True

    def require(self, key_id: str | None, alg: str = "", message_digest: bytes = b"") -> None:
        """The whole decision (``capability.protocol``). Raises Unauthenticated, Denied."""
        self.capability.require(
            self.op, key_id=key_id, alg=alg, message_digest=message_digest, client_cert=self.client_cert
        )
