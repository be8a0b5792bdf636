"""What the service asks of capabilities. Tokens are Biscuit v3; rights count from the authority block."""

from __future__ import annotations

from typing import Final, Protocol

from ronkms.domain.operation import Operation

UNBOUND: Final = "not bound to a client certificate, as cap_bind_required demands"
"""Why a token is refused that none of its checks refuses."""


class Capability(Protocol):
    """A token whose signature holds, parsed. Cached by the token's hash; decides nothing by itself."""

    @property
    def tenant(self) -> str: ...

    @property
    def token_id(self) -> str:
        """Hex of the first 16 bytes of the authority block's revocation id: who, in the audit log."""

    @property
    def bound(self) -> bool:
        """Whether it is good over connections with certain client certificates alone."""

    @property
    def binds_message(self) -> bool:
        """Whether the decision may depend on the message; if not, one holds for all messages of a batch."""

    @property
    def binds_alg(self) -> bool:
        """Whether the decision may depend on the algorithm of a stored key, and so on its existence."""

    def require_operation(self, op: Operation) -> None:
        """Cheap gate before the body is read: valid now, not revoked, some right for ``op``.

        Raises Unauthenticated (expired, revoked), Denied."""

    def require(
        self,
        op: Operation,
        *,
        key_id: str | None,
        alg: str = "",
        message_digest: bytes = b"",
        client_cert: str,
    ) -> None:
        """The decision: a right of the authority block matches, and every check of every block holds.

        ``key_id`` is ``*`` for an operation on no stored key (inline public key, list): it then needs
        a right whose pattern is ``*``, and no attenuation by key. None: on no key yet (import parameters);
        any right for ``op`` will do. ``message_digest``: SHA-256, 32 bytes. ``client_cert``: SHA-256 of the
        connection's client certificate, lower-case hex; empty if there is none.
        Raises Unauthenticated, Denied."""

    def require_unseen(
        self, op: Operation, *, key_id: str, message_digest: bytes = b"", client_cert: str
    ) -> None:
        """The part of the decision that does not depend on the algorithm of a stored key: to be taken before
        the key is looked for. Raises Unauthenticated, Denied."""

    def require_seen(
        self, op: Operation, *, key_id: str, alg: str, message_digest: bytes = b"", client_cert: str
    ) -> None:
        """The rest, once the algorithm is known; ``alg`` is empty if there is no such key.
        Raises Unauthenticated, Denied."""


class CapabilityVerifier(Protocol):
    """Checks tokens with root public keys only."""

    def authenticate(self, token: str) -> Capability:
        """Raises Unauthenticated. One message for every cause, so that nothing is learnt from it."""

    def refresh(self) -> None:
        """Replays new roots and revocations. Costs one atomic load when nothing changed."""

    def after_fork(self) -> None:
        """To be called in each child."""
