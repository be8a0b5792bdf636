"""Arguments and results of the admin operations ``policy.external*`` (docs/formats/admin-socket.md)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ronkms.capability.explanation import Explanation
from ronkms.server.admin_messages import Name
from ronkms.server.admin_policy_messages import KeyScope

NO_DECISION: Final = "none"

TokenId = Annotated[str, Meta(pattern=r"^([0-9a-f]{32})?\Z")]
Fingerprint = Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")]


class ExternalArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``action``: what to ask about, an ``operationId`` of the API; empty asks nothing. The rest are facts of
    the question; empty for none, ``alg`` for the key's own."""

    action: Name = ""
    tenant: Name = ""
    key_id: KeyScope = ""
    alg: Name = ""
    token_id: TokenId = ""
    client_cert_sha256: Fingerprint = ""
    source: Name = ""
    items: Annotated[int, Meta(ge=1, le=1000)] = 1


class WorkerRow(msgspec.Struct, frozen=True):
    """One worker's circuit breaker, and its last fault, empty for none; ``fault_at`` in Unix seconds."""

    worker: int
    breaker: str
    fault: str
    fault_at: int


class Tried(msgspec.Struct, frozen=True):
    """``decision``: ``allow``, ``deny`` or ``none``; then ``reason`` says why not."""

    decision: str
    reason: str
    decision_id: str
    milliseconds: float


class Explained(Explanation, frozen=True):
    """Also by the external policy. ``external``: there is one. ``tried``: its decision, if the capability
    grants the request and an action was given. ``fails_open``: without a decision such a request goes on."""

    external: bool = False
    fails_open: bool = False
    tried: Tried | None = None


class ExternalView(msgspec.Struct, frozen=True, kw_only=True):
    """How the external policy stands. ``fault``: of the last probe, empty if it was answered."""

    url: str
    up: bool
    fault: str
    fail_open: list[str]
    fail_closed: list[str]
    workers: list[WorkerRow]
    tried: Tried | None = None


class Flushed(msgspec.Struct, frozen=True):
    """All remembered decisions have ended, in every worker; ``generation`` is the new one."""

    generation: int
