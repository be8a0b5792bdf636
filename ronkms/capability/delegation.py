"""How often a token may be passed on: a check in any block, on a fact that the service counts.

The fact ``delegations`` is the number of blocks after the authority block. A check sees the facts of the
authority block, of its own block and of the request, so nobody who holds the token can make the service count
less, and a check in the authority block holds for the whole chain that is made from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from biscuit_auth import Check

from ronkms.capability.checks import compile_checks
from ronkms.capability.wire_format import MAX_BLOCKS
from ronkms.errors import BadRequest

MOST: Final = MAX_BLOCKS - 1
"""What the format allows a token without a limit."""


def delegation_check(made: int, further: int) -> Check:
    """For a token that was attenuated ``made`` times, the new block included: ``further`` times more at most.

    Raises :class:`BadRequest`."""
    if not 0 <= further <= MOST:
        raise BadRequest(f"a token is passed on 0 to {MOST} times; 0 forbids it", field="/max_delegations")
    return Check("check if delegations($made), $made <= {limit}", {"limit": made + further})


def delegation_limit(statements: Iterable[str]) -> int:
    """The most delegations that printed blocks allow, each statement with or without the ending ``;``."""
    limit = MOST
    for statement in statements:
        compiled = compile_checks([statement.removesuffix(";")])
        match compiled.checks if compiled is not None else ():
            case ((("delegations", allowed),),):
                limit = min(limit, allowed)
    return limit
