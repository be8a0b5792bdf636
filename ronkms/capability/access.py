"""What a request wants to do, as the checks of a capability see it."""

from __future__ import annotations

from typing import Final, NamedTuple


class Access(NamedTuple):
    """One wanted operation. A field that is None is a fact that the request does not state, so a check
    that needs it fails."""

    operation: str
    key: str | None
    """Key id; None for an operation on no stored key."""
    alg: str | None
    digest: str | None
    """Lower-case hex of the SHA-256 of the message to sign."""
    time: int
    """Unix seconds, UTC; Biscuit dates have no finer grain."""


FACTS: Final = ("operation", "key", "alg", "digest")
"""Names of the string facts, in the order of the fields of :class:`Access`."""
