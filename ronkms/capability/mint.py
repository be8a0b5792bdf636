"""Mints capabilities, and keeps roots and revocations. Lives in the process behind the admin socket alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

from biscuit_auth import BiscuitBuilder, Fact

from ronkms.capability.attenuate import Attenuation, deadline_check
from ronkms.capability.clock import Clock, SystemClock
from ronkms.capability.pattern import check_pattern
from ronkms.capability.registry import CapabilityRegistry
from ronkms.capability.root_key import RootKey, SecretSeal
from ronkms.capability.state import (
    REVOCATION_ID_LENGTH,
    Revoked,
    RootAdded,
    RootWithdrawn,
    revocation_id,
)
from ronkms.capability.wire_format import MAX_TOKEN
from ronkms.domain.operation import Operation
from ronkms.errors import BadRequest, Conflict, NotFound

MAX_RIGHTS: Final = 64
DEFAULT_MAX_TTL_SECONDS: Final = 90 * 24 * 3600
DEFAULT_OVERLAP_SECONDS: Final = 7 * 24 * 3600

_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_REVOCATION_ID: Final = re.compile(rf"[0-9a-f]{{{REVOCATION_ID_LENGTH}}}(?:[0-9a-f]*)")


class Minted(NamedTuple):
    """A new token and what the audit log calls it."""

    token: str
    token_id: str
    expires_at: int
    """Unix seconds."""

    def __repr__(self) -> str:
        return f"Minted(token_id={self.token_id!r}, expires_at={self.expires_at})"


class CapabilityMint:
    """Signs tokens with the newest root. Every change is durable and seen by all workers on return."""

    def __init__(
        self,
        registry: CapabilityRegistry,
        seal: SecretSeal,
        *,
        max_ttl_seconds: int = DEFAULT_MAX_TTL_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._registry = registry
        self._seal = seal
        self.max_ttl_seconds = max_ttl_seconds
        self._clock = clock or SystemClock()
        self._key: RootKey | None = None

    def __repr__(self) -> str:
        return f"CapabilityMint(root={self._registry.state.newest})"

    def ensure_root(self) -> None:
        """Makes the first root if there is none. To be called before tokens can be good."""
        self._registry.refresh()
        if not self._registry.state.roots:
            self._add_root()

    def mint(
        self,
        tenant: str,
        rights: Iterable[tuple[Operation, str]],
        ttl_seconds: int | None,
        narrowing: Attenuation | None = None,
    ) -> Minted:
        """A token for ``tenant`` with (operation, key pattern) rights, narrowed for all that is made from it.

        It ends after ``ttl_seconds`` and at the narrowing's deadline; one of them must be given.
        Raises BadRequest."""
        narrowing = narrowing or Attenuation()
        if _TENANT.fullmatch(tenant) is None:
            raise BadRequest("tenant must match [a-z0-9][a-z0-9._-]{0,63}", field="/tenant")
        granted = sorted({(operation, check_pattern(pattern)) for operation, pattern in rights})
        if not 1 <= len(granted) <= MAX_RIGHTS:
            raise BadRequest(f"a capability has 1 to {MAX_RIGHTS} rights (operations times key patterns)")
        expires_at = self._end(ttl_seconds, narrowing.deadline)
        expires = datetime.fromtimestamp(expires_at, UTC)
        if narrowing.not_before is not None and narrowing.not_before >= expires:
            raise BadRequest("not_before is not before the end: such a token is never good")
        checks = replace(narrowing, deadline=None).checks(delegations=0)
        key = self._newest_key()
        builder = BiscuitBuilder()
        builder.add_fact(Fact("tenant({tenant})", {"tenant": tenant}))
        for operation, pattern in granted:
            builder.add_fact(
                Fact("right({operation}, {pattern})", {"operation": operation.value, "pattern": pattern})
            )
        builder.add_fact(Fact("expires({expires})", {"expires": expires}))
        builder.add_fact(Fact("root({public})", {"public": self._registry.state.roots[key.number].public}))
        builder.add_check(deadline_check(expires))
        for check in checks:
            builder.add_check(check)
        signed = key.sign(builder)
        token = signed.to_base64()
        if len(token) > MAX_TOKEN:
            raise BadRequest(
                f"the token would be longer than {MAX_TOKEN} characters; name fewer or shorter rights"
            )
        return Minted(token, revocation_id(signed.revocation_ids[0]), expires_at)

    def revoke(self, block_id: str) -> str:
        """Refuses every token with the block ``block_id`` (32 hex digits or more), from the return on.

        Returns the id under which it is listed; doing it twice changes nothing. Raises BadRequest."""
        if _REVOCATION_ID.fullmatch(block_id) is None:
            raise BadRequest(
                "a revocation id has 32 or more lower-case hex digits, as ronctl cap inspect shows", "/id"
            )
        short = revocation_id(block_id)
        self._registry.refresh()
        state = self._registry.state
        if short not in state.revoked:
            self._registry.append(Revoked(short, state.newest, self._now()))
        return short

    def rotate(self, overlap_seconds: int = DEFAULT_OVERLAP_SECONDS) -> int:
        """A new root mints from now on; tokens of the roots before are good for ``overlap_seconds`` more.

        Roots whose end has passed are withdrawn, and with them the revocations that only they needed.
        Returns the new root's number. Raises :class:`BadRequest`."""
        if not 0 <= overlap_seconds <= self.max_ttl_seconds:
            raise BadRequest(f"overlap must be from 0 s to {self.max_ttl_seconds} s", field="/overlap")
        self._registry.refresh()
        return self._add_root(others_until=self._now() + overlap_seconds)

    def withdraw(self, number: int) -> None:
        """Refuses every token of root ``number``. Raises NotFound, Conflict (it is the newest)."""
        self._registry.refresh()
        state = self._registry.state
        if number not in state.roots:
            raise NotFound(f"root {number} is not in use")
        if number == state.newest:
            raise Conflict(f"root {number} is the newest; rotate first, then withdraw it")
        self._registry.append(RootWithdrawn(number, self._now()))

    def _end(self, ttl_seconds: int | None, deadline: datetime | None) -> int:
        now = self._now()
        ends = [] if ttl_seconds is None else [now + ttl_seconds]
        if deadline is not None:
            ends.append(int(deadline.timestamp()))
        if not ends:
            raise BadRequest("give a ttl or a deadline", field="/ttl")
        end = min(ends)
        if not 1 <= end - now <= self.max_ttl_seconds:
            raise BadRequest(
                f"ttl must be from 1 s to {self.max_ttl_seconds} s, a deadline so far ahead", field="/ttl"
            )
        return end

    def _now(self) -> int:
        return int(self._clock.wall())

    def _newest_key(self) -> RootKey:
        self._registry.refresh()
        newest = self._registry.state.newest
        if self._key is None or self._key.number != newest:
            self._key = RootKey.open(newest, self._registry.state.roots[newest].sealed, self._seal)
        return self._key

    def _add_root(self, others_until: int | None = None) -> int:
        number = self._registry.state.newest + 1
        key, public, sealed = RootKey.generate(number, self._seal)
        self._registry.append(RootAdded(number, public, sealed, self._now(), others_until))
        self._key = key
        return number
