"""Checks tokens with root public keys only, and remembers what it found by the token's SHA-256.

Remembered is the checked signature with the parsed facts, never a decision. Expiry, revocation and the
standing of the root are looked at on every use; an entry that has come to its end stays until others push it
out, so that a clock set back does not revive it. What failed is remembered for a short while in a small map
of its own, so that a client that repeats a bad token costs little and cannot push out good ones.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final, Protocol

from biscuit_auth import (
    AuthorizationError,
    Biscuit,
    BiscuitBlockError,
    BiscuitValidationError,
    DataLogError,
    PublicKey,
)

from ronkms.capability.cache import RecentlyUsed
from ronkms.capability.clock import Clock, SystemClock
from ronkms.capability.state import CapabilityState, Root
from ronkms.capability.token import UNAUTHENTICATED, VerifiedToken
from ronkms.capability.wire_format import MAX_TOKEN, MalformedTokenError, token_shape
from ronkms.errors import Unauthenticated

CACHE_CAPACITY: Final = 4096
FAILED_CAPACITY: Final = 1024
FAILED_SECONDS: Final = 5.0

_ALPHABET: Final = re.compile(r"[A-Za-z0-9_-]+={0,2}", re.ASCII)

_LIBRARY_ERRORS: Final = (AuthorizationError, BiscuitBlockError, BiscuitValidationError, DataLogError)

_LIBRARY_REFUSED: Final = "damaged, signed by another root, or with facts beyond the limits"
"""The library's own words may quote the token."""


class Registry(Protocol):
    """The part of ``CapabilityRegistry`` that a verifier needs."""

    @property
    def state(self) -> CapabilityState: ...

    def refresh(self) -> None: ...

    def after_fork(self) -> None: ...


class BiscuitVerifier:
    """Implements ``capability.protocol.CapabilityVerifier``."""

    def __init__(
        self, registry: Registry, *, clock: Clock | None = None, capacity: int = CACHE_CAPACITY
    ) -> None:
        self._registry = registry
        self._state = registry.state
        self._clock = clock or SystemClock()
        self._verified: RecentlyUsed[VerifiedToken] = RecentlyUsed(capacity)
        self._failed: RecentlyUsed[tuple[int, float, str]] = RecentlyUsed(FAILED_CAPACITY)

    def __repr__(self) -> str:
        return f"BiscuitVerifier(verified={len(self._verified)}, failed={len(self._failed)})"

    def authenticate(self, token: str) -> VerifiedToken:
        """See ``capability.protocol.CapabilityVerifier``."""
        if not 0 < len(token) <= MAX_TOKEN or not token.isascii():
            raise Unauthenticated(UNAUTHENTICATED, reason=f"not 1 to {MAX_TOKEN} ASCII characters")
        self._registry.refresh()
        name = hashlib.sha256(token.encode("ascii")).digest()
        verified = self._verified.get(name)
        if verified is None:
            verified = self._verify(token, name)
        verified.require_valid()
        return verified

    def as_of(self, clock: Clock) -> BiscuitVerifier:
        """One that decides alike at another time, and remembers nothing of this one."""
        return BiscuitVerifier(self._registry, clock=clock)

    def refresh(self) -> None:
        """See ``capability.protocol.CapabilityVerifier``."""
        self._registry.refresh()

    def after_fork(self) -> None:
        """See ``capability.protocol.CapabilityVerifier``."""
        self._registry.after_fork()

    def _verify(self, token: str, name: bytes) -> VerifiedToken:
        revision = self._state.revision
        failed = self._failed.get(name)
        if failed is not None and failed[0] == revision and self._clock.elapsed() < failed[1]:
            raise Unauthenticated(UNAUTHENTICATED, reason=failed[2])
        try:
            verified = self._parse(token)
        except (MalformedTokenError, *_LIBRARY_ERRORS) as error:
            reason = str(error) if isinstance(error, MalformedTokenError) else _LIBRARY_REFUSED
            self._failed.put(name, (revision, self._clock.elapsed() + FAILED_SECONDS, reason))
            raise Unauthenticated(UNAUTHENTICATED, reason=reason) from None
        self._verified.put(name, verified)
        return verified

    def _parse(self, token: str) -> VerifiedToken:
        if _ALPHABET.fullmatch(token) is None:
            raise MalformedTokenError("not base64url")
        shape = token_shape(_decode(token))
        roots = self._state.roots
        named: list[Root] = []
        unknown: list[int | None] = []

        def public_key_of(number: int | None = None) -> PublicKey:
            root = roots.get(number) if number is not None else None
            if root is None:
                unknown.append(number)
                raise MalformedTokenError
            named.append(root)
            return PublicKey(f"ed25519/{root.public.hex()}")

        try:
            biscuit = Biscuit.from_base64(token, public_key_of)
        except BiscuitValidationError:
            if unknown:
                raise MalformedTokenError(f"root {unknown[0]} is not in use here") from None
            raise
        if biscuit.to_base64().rstrip("=") != token.rstrip("="):
            raise MalformedTokenError("another encoding of the same token")
        return VerifiedToken(biscuit, shape, named[0], self._state, self._clock)


def _decode(token: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(token.rstrip("=") + "=" * (-len(token.rstrip("=")) % 4))
    except ValueError:
        raise MalformedTokenError("not base64url") from None
