"""Says why a token is refused, to who operates the service: all causes at once, each with its place.

The decision is that of the code which serves requests, at any time; only the list of all checks that fail is
made here, with the predicates that code evaluates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from ronkms.capability.access import Access
from ronkms.capability.checks import compile_checks
from ronkms.capability.inspection import inspect_token
from ronkms.capability.protocol import UNBOUND
from ronkms.capability.token import VerifiedToken
from ronkms.capability.verifier import BiscuitVerifier
from ronkms.domain.operation import Operation
from ronkms.errors import Denied, Unauthenticated

MAX_FAILED: Final = 100
"""Failed checks that are named."""
CHECK: Final = "check "
"""How a check begins, as printed."""


class Asked(NamedTuple):
    """A request, with the algorithms that it is decided for one after the other; empty for none."""

    op: Operation
    key_id: str | None
    """As in ``capability.protocol.Capability.require``."""
    algs: Sequence[str]
    message_digest: bytes
    client_cert: str
    bind_required: bool = False
    """Whether the server refuses tokens that are not bound."""


class FailedCheck(msgspec.Struct, frozen=True):
    """Its place: blocks from 0, the authority; checks from 1 in each."""

    block: int
    check: int


class Explanation(msgspec.Struct, frozen=True):
    """``code`` is that of the answer, ``reason`` the first cause; both empty for a token that grants it."""

    allowed: bool
    code: str
    reason: str
    failed: list[FailedCheck]
    """All checks that fail, the first :data:`MAX_FAILED`; none unless ``compiled``."""
    tenant: str = ""
    """Empty if the token's signature does not hold, as what follows."""
    token_id: str = ""
    algs: list[str] = []
    """What was decided for."""
    compiled: bool = True
    """Whether its checks are of the closed set. If not, the reason names the first that failed."""


def explain(verifier: BiscuitVerifier, token: str, asked: Callable[[VerifiedToken], Asked]) -> Explanation:
    """What ``verifier`` answers to a request with ``token``. ``asked`` may depend on whose token it is."""
    try:
        held = verifier.authenticate(token)
    except Unauthenticated as error:
        return Explanation(allowed=False, code=error.code, reason=error.reason, failed=[])
    request = asked(held)
    code = reason = ""
    try:
        _decide(held, request)
    except (Denied, Unauthenticated) as error:
        code, reason = error.code, error.reason
    return Explanation(
        allowed=not code,
        code=code,
        reason=reason,
        failed=_failed(held, token, request)[:MAX_FAILED] if held.compiled else [],
        tenant=held.tenant,
        token_id=held.token_id,
        algs=list(request.algs),
        compiled=held.compiled,
    )


def _decide(held: VerifiedToken, request: Asked) -> None:
    if request.bind_required and not held.bound:
        raise Denied(reason=UNBOUND)
    held.require_operation(request.op)
    for alg in request.algs or ("",):
        held.require(
            request.op,
            key_id=request.key_id,
            alg=alg,
            message_digest=request.message_digest,
            client_cert=request.client_cert,
        )


def _failed(held: VerifiedToken, token: str, request: Asked) -> list[FailedCheck]:
    now = held.require_valid()
    accesses = [
        held.access(request.op, request.key_id, alg, request.message_digest, request.client_cert, now)
        for alg in request.algs or ("",)
    ]
    failed = []
    for number, block in enumerate(inspect_token(token).blocks):
        checks = [statement for statement in block.statements if statement.startswith(CHECK)]
        failed += [
            FailedCheck(number, position)
            for position, check in enumerate(checks, start=1)
            if not all(_holds(check, access) for access in accesses)
        ]
    return failed


def _holds(check: str, access: Access) -> bool:
    compiled = compile_checks([check.removesuffix(";")])
    return (
        compiled is not None
        and (compiled.deadline is None or access.time < compiled.deadline)
        and all(holds(access) for holds in compiled.predicates)
    )
