"""Types and contract of the Cython hot path (``ext/_fastpath.pyx`` and its ``.pxi`` parts)."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from ronkms_native import Arena, AuditLog, MacKey
from typing_extensions import disjoint_base

UNKNOWN_KEY: Final = 1
"""Declined because the key, or the digest key, was not taught."""
UNKNOWN_GRANT: Final = 2
"""Declined because no allowance of the external policy was taught that still holds."""

@disjoint_base
class CompiledToken:
    """Facts of a token whose checks are of the closed set; see ``capability.checks``.

    ``audit_part``: JSON members ``tenant`` and ``token``, each with its comma. ``deadline``: Unix seconds.
    ``rights``: (operation index, pattern). ``checks``: alternatives of each check, as ``checks.Query``.
    ``delegations``: blocks after the authority block.
    """

    tenant: bytes
    audit_part: bytes
    def __new__(
        cls,
        tenant: bytes,
        audit_part: bytes,
        deadline: int,
        time_offset: float,
        rights: Sequence[tuple[int, bytes]],
        checks: Sequence[Sequence[tuple[Any, ...]]],
        delegations: int,
    ) -> CompiledToken: ...
    def decide(
        self, operation: int, key_id: bytes, alg: bytes, digest: bytes, client_cert: bytes, now: int
    ) -> bool:
        """The decision on one request, for tests. ``digest``, ``client_cert``: lower-case hex."""

@disjoint_base
class VerifyKey:
    """One candidate version for verification, with the answer to each verdict. Raises ValueError."""

    def __init__(
        self,
        *,
        prefix: bytes,
        keyring: int,
        policy: int,
        alg: int,
        alg_name: bytes,
        context: bool,
        audit_part: bytes,
        answers: tuple[bytes | None, ...],
        valid: tuple[bool, ...],
    ) -> None: ...

@disjoint_base
class SignKey:
    """The version of a key that signs, ready. ``cost``: admission units.

    ``handle``: calls to the handle, or to None once its backend has let it go. Raises ValueError."""

    def __init__(
        self,
        *,
        keyring: int,
        policy: int,
        alg: int,
        alg_name: bytes,
        cost: int,
        context: bool,
        audit_part: bytes,
        answer_parts: tuple[bytes, bytes, bytes],
        handle: Callable[[], Any],
    ) -> None: ...

@disjoint_base
class Grant:
    """An allowance of the external policy. ``until``: CLOCK_MONOTONIC, nanoseconds; the rest: generations."""

    def __init__(
        self, *, until: int, keyring: int, capability: int, policy: int, external: int
    ) -> None: ...

@disjoint_base
class Engine:
    """Answers what it was taught; declines everything else. One a worker process."""

    def __init__(
        self,
        arena: Arena,
        audit_log: AuditLog,
        *,
        generations: tuple[int, int, int, int],
        counters: tuple[int, int],
        outcomes: tuple[int, int],
        external: int | None = None,
    ) -> None:
        """``external``: index of the generation of external decisions; None if there is no external policy."""
    def learn_token(self, token: str, compiled: CompiledToken, generation: int) -> None: ...
    def learn_digest_key(self, key: MacKey, epoch: int, generation: int) -> None: ...
    def learn_verify_key(self, tenant: bytes, key_id: bytes, key_version: int, entry: VerifyKey) -> None: ...
    def learn_sign_key(self, tenant: bytes, key_id: bytes, entry: SignKey) -> None: ...
    def learn_grant(
        self, operation: int, token: str, key_id: bytes, client_cert: str, source: str, grant: Grant
    ) -> None:
        """Raises ValueError if there is no external policy. ``source``: address of the peer."""
    def token(self, operation: int, authorization: str) -> CompiledToken | None:
        """The token of an Authorization header, if it stands and grants the operation on some key."""
    def admit(self, token: CompiledToken, operation: int) -> int: ...
    def release(self, permit: int) -> None: ...
    def verify(
        self,
        token: CompiledToken,
        permit: int,
        body: bytes,
        corr_id: str,
        client_cert: str,
        source: str,
        started: int,
    ) -> bytes | int | None:
        """The answer, UNKNOWN_KEY, UNKNOWN_GRANT or None. ``client_cert``: SHA-256 of the connection's,
        lower-case hex, or empty. ``source``: address of its peer. ``started``: CLOCK_MONOTONIC, nanoseconds. Gives the permit back."""
    def sign(
        self,
        token: CompiledToken,
        permit: int,
        body: bytes,
        corr_id: str,
        client_cert: str,
        source: str,
        started: int,
    ) -> bytes | int | None:
        """As ``verify``."""

def parse(body: bytes) -> dict[str, str | bytes | int] | None:
    """Members of a body of the known shape, decoded; None for any other. For the parser's tests."""
