"""A token whose signature holds, parsed: what it grants, and the decision on one request.

Invariants: rights, tenant and expiry come from the authority block alone; a decision is made anew on
every call and never kept; revocation and the standing of the root are looked at again whenever the
capability state moved, also between two calls on the same object.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from biscuit_auth import AuthorizationError, Biscuit, DataLogError

from ronkms.capability import pattern
from ronkms.capability.access import ALG, CLIENT_CERT, DIGEST, Access
from ronkms.capability.checks import (
    Alternatives,
    CompiledChecks,
    Predicate,
    binds,
    compile_checks,
    fact_of,
    names_fact,
)
from ronkms.capability.clock import Clock, ForwardTime
from ronkms.capability.datalog import AuthorityFacts, authorize
from ronkms.capability.state import CapabilityState, Root, revocation_id
from ronkms.capability.wire_format import MalformedTokenError, TokenShape
from ronkms.domain.operation import Operation
from ronkms.errors import Denied, Unauthenticated

UNAUTHENTICATED: Final = "present a valid capability token as Authorization: Bearer TOKEN"
"""The one message for every cause, so that nothing is learnt from it."""

_EXPENSIVE: Final = (".matches(", "->", "extern::")
"""Regular expressions, closures and foreign functions as printed: their cost cannot be bounded from the
outside, so tokens with them (or with strings that look like them) are refused."""

_NAMES_ALG: Final = "alg("
"""As printed in every check on the algorithm, and perhaps in a string."""

_FAILED: Final = re.compile(r"Check n°(?P<check>\d+) in block n°(?P<block>\d+)")

_AUTHORITY_FACTS: Final = ("tenant(", "right(", "expires(", "root(")

_OPERATIONS: Final = {operation.value: operation for operation in Operation}


class CompiledFacts(NamedTuple):
    """What a token of the closed set says, for a decision outside Python (``ext/compiled_token.pxi``)."""

    tenant: str
    token_id: str
    deadline: int
    """Unix seconds, the first moment that is too late."""
    time_offset: float
    """See ``capability.clock.ForwardTime.offset``."""
    rights: tuple[tuple[Operation, str], ...]
    checks: tuple[Alternatives, ...]
    delegations: int
    """See ``capability.access.Access.delegations``."""


class VerifiedToken:
    """Implements ``capability.protocol.Capability``. Shared by all requests that carry the token."""

    __slots__ = (
        "_after_lookup",
        "_before_lookup",
        "_biscuit",
        "_bound",
        "_checked_revision",
        "_compiled",
        "_deadline",
        "_delegations",
        "_ids",
        "_needs_alg",
        "_own_deadline",
        "_rights",
        "_root_number",
        "_state",
        "_tenant",
        "_time",
        "_token_id",
    )

    def __init__(
        self, biscuit: Biscuit, shape: TokenShape, root: Root, state: CapabilityState, clock: Clock
    ) -> None:
        """Parses. Raises MalformedTokenError, and the library's errors when its limits are passed."""
        printed = [biscuit.block_source(index) for index in range(biscuit.block_count())]
        if any(expensive in source for source in printed for expensive in _EXPENSIVE):
            raise MalformedTokenError("an expression that capabilities do not use")
        facts = AuthorityFacts(biscuit)
        self._tenant = _one_text(facts.terms("tenant", 1))
        self._rights = _rights(facts.terms("right", 2))
        deadline = _one_date(facts.terms("expires", 1))
        self._compiled, named = _compile(printed) if shape.plain else (None, [])
        self._before_lookup = [each for each in named if not names_fact(each.alternatives, ALG)]
        self._after_lookup = [each for each in named if names_fact(each.alternatives, ALG)]
        self._needs_alg = any(_NAMES_ALG in source for source in printed)
        if self._compiled is not None and self._compiled.deadline is not None:
            deadline = min(deadline, self._compiled.deadline)
        self._own_deadline = deadline
        self._deadline = _sooner(deadline, root)
        self._delegations = shape.blocks - 1
        self._bound = any(
            binds(line.removesuffix(";"), CLIENT_CERT)
            for source in printed[: shape.plain_blocks]
            for line in source.splitlines()
        )
        self._biscuit = biscuit if self._compiled is None else None
        self._ids = tuple(revocation_id(signature) for signature in biscuit.revocation_ids)
        self._token_id = self._ids[0]
        self._root_number = root.number
        self._state = state
        self._checked_revision = -1
        self._time = ForwardTime(clock)

    def __repr__(self) -> str:
        return f"VerifiedToken(tenant={self._tenant!r}, token_id={self._token_id!r})"

    @property
    def tenant(self) -> str:
        """Owner of the keys that the token reaches."""
        return self._tenant

    @property
    def token_id(self) -> str:
        """Hex of the first 16 bytes of the authority block's revocation id."""
        return self._token_id

    @property
    def compiled(self) -> bool:
        """True if its checks are of the closed set, so that no Datalog runs on a request."""
        return self._compiled is not None

    @property
    def binds_message(self) -> bool:
        """See ``capability.protocol.Capability``. True for any check beyond the closed set."""
        return self._compiled is None or any(names_fact(check, DIGEST) for check in self._compiled.checks)

    @property
    def bound(self) -> bool:
        """See ``capability.protocol.Capability``. What is seen is a check of the closed set in a block of the
        plain form, with none of another form before it."""
        return self._bound

    def compiled_facts(self) -> CompiledFacts | None:
        """None for a token beyond the closed set. Says nothing about revocation: see ``require_valid``."""
        compiled = self._compiled
        if compiled is None:
            return None
        return CompiledFacts(
            self._tenant,
            self._token_id,
            self._deadline,
            self._time.offset,
            tuple((op, granted) for op, patterns in self._rights.items() for granted in patterns),
            compiled.checks,
            self._delegations,
        )

    def require_valid(self) -> int:
        """Neither expired nor revoked, and its root in use. Returns the time that was taken for it.

        Raises :class:`Unauthenticated`."""
        revision = self._state.revision
        if revision != self._checked_revision:
            root = self._state.roots.get(self._root_number)
            if root is None:
                raise Unauthenticated(UNAUTHENTICATED, reason=f"root {self._root_number} was withdrawn")
            revoked = self._state.first_revoked(self._ids)
            if revoked is not None:
                raise Unauthenticated(UNAUTHENTICATED, reason=f"block {revoked} is revoked")
            self._deadline = _sooner(self._own_deadline, root)
            self._checked_revision = revision
        now = self._time.now()
        if now >= self._deadline:
            end = datetime.fromtimestamp(self._deadline, UTC)
            raise Unauthenticated(UNAUTHENTICATED, reason=f"it ended at {end:%Y-%m-%dT%H:%M:%SZ}")
        return now

    def require_operation(self, op: Operation) -> None:
        """See ``capability.protocol.Capability``."""
        self.require_valid()
        if op not in self._rights:
            raise Denied(reason=f"no right for {op}")

    def require(
        self,
        op: Operation,
        *,
        key_id: str | None,
        alg: str = "",
        message_digest: bytes = b"",
        client_cert: str = "",
    ) -> None:
        """See ``capability.protocol.Capability``."""
        now = self.require_valid()
        self._require_right(op, key_id)
        access = self.access(op, key_id, alg, message_digest, client_cert, now)
        self._require_checks(self._before_lookup, access, datalog=True)
        self._require_checks(self._after_lookup, access, datalog=False)

    @property
    def binds_alg(self) -> bool:
        """See ``capability.protocol.Capability``."""
        return bool(self._after_lookup) or (self._compiled is None and self._needs_alg)

    def require_unseen(
        self, op: Operation, *, key_id: str, message_digest: bytes = b"", client_cert: str = ""
    ) -> None:
        """See ``capability.protocol.Capability``."""
        now = self.require_valid()
        self._require_right(op, key_id)
        if self._before_lookup or self._compiled is None:
            access = self.access(op, key_id, "", message_digest, client_cert, now)
            self._require_checks(self._before_lookup, access, datalog=not self._needs_alg)

    def require_seen(
        self, op: Operation, *, key_id: str, alg: str, message_digest: bytes = b"", client_cert: str = ""
    ) -> None:
        """See ``capability.protocol.Capability``."""
        if self.binds_alg:
            access = self.access(op, key_id, alg, message_digest, client_cert, self.require_valid())
            self._require_checks(self._after_lookup, access, datalog=self._needs_alg)

    def access(
        self,
        op: Operation,
        key_id: str | None,
        alg: str,
        message_digest: bytes,
        client_cert: str,
        now: int,
    ) -> Access:
        """What its checks get to see of a request at ``now``, Unix seconds."""
        return Access(
            operation=op.value,
            key=None if key_id == pattern.ANY else key_id,
            alg=alg or None,
            digest=message_digest.hex() or None,
            client_cert=client_cert or None,
            time=now,
            delegations=self._delegations,
        )

    def _require_right(self, op: Operation, key_id: str | None) -> None:
        patterns = self._rights.get(op)
        if patterns is None:
            raise Denied(reason=f"no right for {op}")
        if key_id is not None and not any(pattern.matches(granted, key_id) for granted in patterns):
            raise Denied(reason=f"no right for {op} covers the key")

    def _require_checks(self, checks: list[_NamedCheck], access: Access, *, datalog: bool) -> None:
        """``datalog``: of a token beyond the closed set, all checks of all blocks are held here."""
        for check in checks:
            if not check.holds(access):
                raise Denied(reason=f"{check.name} failed")
        if datalog and self._biscuit is not None:
            try:
                authorize(self._biscuit, access)
            except AuthorizationError as error:
                raise Denied(reason=_failed_check(error)) from None
            except DataLogError:
                raise Denied(reason="the checks could not be evaluated") from None


class _NamedCheck(NamedTuple):
    name: str
    """For the audit log: ``check 2 of block 1 (key)``, checks from 1 and blocks from 0, the authority."""
    alternatives: Alternatives
    holds: Predicate


def _failed_check(error: AuthorizationError) -> str:
    # The first match stands before any text that a holder chose.
    found = _FAILED.search(str(error))
    if found is None:
        return "the checks could not be evaluated"
    return f"check {int(found['check']) + 1} of block {found['block']} failed"


def _compile(sources: list[str]) -> tuple[CompiledChecks | None, list[_NamedCheck]]:
    statements: list[str] = []
    names: list[str] = []
    for index, source in enumerate(sources):
        number = 0
        for line in source.splitlines():
            if line and not line.endswith(";"):
                return None, []
            statement = line.removesuffix(";")
            if statement and not (index == 0 and statement.startswith(_AUTHORITY_FACTS)):
                number += 1
                statements.append(statement)
                names.append(f"check {number} of block {index}")
    compiled = compile_checks(statements)
    if compiled is None:
        return None, []
    named = [
        _NamedCheck(f"{names[position]} ({_facts_of(alternatives)})", alternatives, holds)
        for position, alternatives, holds in zip(
            compiled.positions, compiled.checks, compiled.predicates, strict=True
        )
    ]
    return compiled, named


def _facts_of(alternatives: Alternatives) -> str:
    return ", ".join(sorted({fact_of(query) for query in alternatives}))


def _sooner(deadline: int, root: Root) -> int:
    """The end of a token that by itself is good until ``deadline``."""
    return deadline if root.until is None else min(deadline, root.until)


def _one_text(found: list[list[object]]) -> str:
    match found:
        case [[str() as text]] if text:
            return text
    raise MalformedTokenError("not exactly one tenant")


def _one_date(found: list[list[object]]) -> int:
    match found:
        case [[datetime() as date]]:
            return int(date.timestamp())
    raise MalformedTokenError("not exactly one expiry")


def _rights(found: list[list[object]]) -> Mapping[Operation, tuple[str, ...]]:
    rights: dict[Operation, list[str]] = {}
    for terms in found:
        match terms:
            case [str() as operation, str() as granted]:
                if operation in _OPERATIONS:  # one that a later release knows grants nothing here
                    rights.setdefault(_OPERATIONS[operation], []).append(granted)
            case _:
                raise MalformedTokenError("a right of an unknown form")
    if not rights:
        raise MalformedTokenError("no right")
    return {operation: tuple(sorted(patterns)) for operation, patterns in rights.items()}
