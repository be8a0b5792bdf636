"""Capabilities without cryptography: a token is ``tenant;op,op;key pattern``, patterns as in ``fnmatch``."""

from __future__ import annotations

from fnmatch import fnmatchcase

from ronkms.domain.operation import Operation
from ronkms.errors import Denied, Unauthenticated

ADMIN = ";".join(("default", ",".join(Operation), "*"))


class FakeCapability:
    """Grants what the token says, and remembers what was asked."""

    def __init__(self, verifier: FakeCapabilities, tenant: str, ops: list[str], pattern: str) -> None:
        self.tenant = tenant
        self.token_id = f"token-of-{tenant}"
        self.binds_message = verifier.binds_message
        self.bound = False
        self.binds_alg = False
        self._verifier = verifier
        self._ops = ops
        self._pattern = pattern

    def require_operation(self, op: Operation) -> None:
        if op not in self._ops:
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
        self._verifier.asked.append((op, key_id, alg, message_digest))
        self._decide(op, key_id)

    def require_unseen(
        self, op: Operation, *, key_id: str, message_digest: bytes = b"", client_cert: str = ""
    ) -> None:
        self._decide(op, key_id)

    def require_seen(
        self, op: Operation, *, key_id: str, alg: str, message_digest: bytes = b"", client_cert: str = ""
    ) -> None:
        self.require(op, key_id=key_id, alg=alg, message_digest=message_digest)

    def _decide(self, op: Operation, key_id: str | None) -> None:
        if self.tenant in self._verifier.revoked:
            raise Unauthenticated("send a valid capability")
        self.require_operation(op)
        if key_id is None:
            return
        if key_id == "*" and self._pattern != "*":
            raise Denied(reason="not all keys")
        if not fnmatchcase(key_id, self._pattern):
            raise Denied(reason="key does not match")


class FakeCapabilities:
    """``revoked``: tenants whose tokens stop working at the next ``require``. ``binds_message``: what tokens
    say of themselves."""

    def __init__(self) -> None:
        self.asked: list[tuple[Operation, str | None, str, bytes]] = []
        self.revoked: set[str] = set()
        self.binds_message = False

    def authenticate(self, token: str) -> FakeCapability:
        tenant, separator, rest = token.partition(";")
        ops, more, pattern = rest.partition(";")
        if not (separator and more):
            raise Unauthenticated("send a valid capability")
        return FakeCapability(self, tenant, ops.split(","), pattern)

    def refresh(self) -> None:
        """Nothing is behind."""

    def after_fork(self) -> None:
        """Nothing to reopen."""
