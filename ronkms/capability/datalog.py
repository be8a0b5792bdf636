"""Runs the library's own Datalog engine: typed facts of the authority block, and full authorization.

Everything here builds a fresh authorizer with limits on facts, iterations and time, so that a holder's
own blocks cannot make a request expensive.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from biscuit_auth import (
    Authorizer,
    AuthorizerBuilder,
    Biscuit,
    Fact,
    Rule,
)

from ronkms.capability.access import FACTS, Access

MAX_FACTS: Final = 500
MAX_ITERATIONS: Final = 50
MAX_TIME: Final = timedelta(milliseconds=250)
"""Wall clock, so a machine that is busy elsewhere must not turn a good token down: an honest one needs 50 µs,
and what an evaluation can cost is bounded by its facts, iterations and refused forms."""


def _limited(builder: AuthorizerBuilder) -> AuthorizerBuilder:
    limits = builder.limits()  # type: ignore[attr-defined]
    limits.max_facts = MAX_FACTS
    limits.max_iterations = MAX_ITERATIONS
    limits.max_time = MAX_TIME
    builder.set_limits(limits)  # type: ignore[attr-defined]
    return builder


class AuthorityFacts:
    """The facts of a token's authority block. Facts that later blocks add are out of scope by Biscuit's
    own rules, and stay unseen."""

    def __init__(self, token: Biscuit) -> None:
        self._authorizer: Authorizer = _limited(AuthorizerBuilder()).build(token)

    def terms(self, name: str, arity: int) -> list[list[Any]]:
        """Terms of all facts ``name`` with ``arity`` terms, in no fixed order."""
        variables = ", ".join(f"$x{position}" for position in range(arity))
        rule = Rule(f"found({variables}) <- {name}({variables})")
        return [fact.terms for fact in self._authorizer.query(rule)]


def authorize(token: Biscuit, access: Access) -> None:
    """Holds every check of every block against ``access``. Raises AuthorizationError of the library.

    Whether a right matches was decided before, in Python, from the authority block; the one policy here
    allows what passes the checks.
    """
    builder = _limited(AuthorizerBuilder("allow if true"))
    for name in FACTS:
        value = getattr(access, name)
        if value is not None:
            builder.add_fact(Fact(f"{name}({{value}})", {"value": value}))
    builder.add_fact(Fact("time({value})", {"value": datetime.fromtimestamp(access.time, UTC)}))
    builder.add_fact(Fact("delegations({value})", {"value": access.delegations}))
    builder.build(token).authorize()
