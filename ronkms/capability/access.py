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
    client_cert: str | None
    """Lower-case hex of the SHA-256 of the client certificate (DER) of the connection, as in RFC 8705; None
    without mutual TLS."""
    time: int
    """Unix seconds, UTC; Biscuit dates have no finer grain."""
    delegations: int
    """How often the token was attenuated: its blocks after the authority block."""


FACTS: Final = Access._fields[: Access._fields.index("time")]
"""Names of the string facts, which are those of the fields of :class:`Access` before ``time``."""

ALG: Final = FACTS.index("alg")
CLIENT_CERT: Final = FACTS.index("client_cert")
DIGEST: Final = FACTS.index("digest")
