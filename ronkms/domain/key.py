"""Keys, their versions and states: immutable values, no I/O.

Invariants: version numbers start at 1 and have no gap; the newest enabled version signs; a destroyed
version keeps its metadata and public key and never leaves that state; a key's ``epoch`` grows with
every change, so that a verdict cached under an older epoch is unreachable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from ronkms.domain.algorithm import ALGORITHMS, Usage
from ronkms.domain.key_policy import KeyPolicy, PolicyChange
from ronkms.domain.staged_disable import StagedDisable
from ronkms.domain.version_table import VersionTable
from ronkms.errors import BadRequest, Conflict, KeyDisabled, KeyExhausted, NotFound

KEY_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
"""DESIGN 4. Always with ``fullmatch``."""

DESTROY_WINDOW_SECONDS: Final = 7 * 24 * 3600

MAX_RESERVATION: Final = 1 << 16
"""Operations that one process may lose when it ends."""


class KeyState(StrEnum):
    """As AWS and GCP name them. Only ``ENABLED`` does anything."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    DESTROY_SCHEDULED = "destroy_scheduled"
    DESTROYED = "destroyed"


class Origin(StrEnum):
    """Where the material of a version came from."""

    GENERATED = "generated"
    IMPORTED = "imported"


class KeyVersion(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One key pair or secret. Times are Unix seconds, UTC."""

    number: int
    alg: str
    state: KeyState
    origin: Origin
    created_at: int
    public: bytes
    """Encoding of ``ronkms_native.Custody.generate``; empty for secret keys."""
    record_digest: bytes
    """SHA-256 of the sealed record; binds the metadata to the material."""
    destroy_at: int | None = None
    reserved: int = 0
    """Operations that processes may do, or did, since ``max_operations`` was set."""


class Key(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A named, tenant-owned entity. ``versions`` maps number to version, oldest first."""

    tenant: str
    key_id: str
    alg: str
    usage: Usage
    backend: str
    state: KeyState
    created_at: int
    epoch: int
    labels: Mapping[str, str]
    policy: KeyPolicy
    versions: VersionTable[KeyVersion]
    """Only ever grows; treat as read-only."""
    destroy_at: int | None = None
    staged: StagedDisable | None = None
    """Only while ``state`` is ENABLED."""
    damaged: str | None = None
    """Name of the record of the version that would sign, if it does not authenticate: the key then does
    nothing until the record is restored or the key is rotated."""

    def newest_enabled(self) -> KeyVersion:
        """The version that signs and wraps. Raises :class:`KeyDisabled`."""
        self.require_enabled()
        for number in range(len(self.versions), 0, -1):
            if self.is_usable(number):
                return self.versions[number]
        raise KeyDisabled(f"key {self.key_id} has no enabled version; enable one or rotate")

    def is_usable(self, number: int) -> bool:
        """Whether the version, which must exist, is enabled, not below the policy's ``min_version``, and of
        an algorithm that the policy allows.

        Says nothing about the key as a whole."""
        version, policy = self.versions[number], self.policy
        return (
            version.state is KeyState.ENABLED
            and number >= policy.min_version
            and (policy.algs is None or version.alg in policy.algs)
        )

    def require_alg(self, alg: str) -> None:
        """Raises :class:`Conflict` unless the policy allows versions of that algorithm."""
        if not self.policy.allows(alg):
            raise Conflict(f"the policy of key {self.key_id} does not allow {alg} (algs)")

    def version(self, number: int) -> KeyVersion:
        """The version ``number`` in any state. Raises :class:`NotFound`."""
        try:
            return self.versions[number]
        except KeyError:
            raise NotFound(f"key {self.key_id} has no version {number}") from None

    def enabled_version(self, number: int) -> KeyVersion:
        """The version ``number`` if it is usable and the key enabled. Raises NotFound, KeyDisabled."""
        found = self.version(number)
        self.require_enabled()
        if found.state is not KeyState.ENABLED:
            raise KeyDisabled(f"key {self.key_id} version {number} is {found.state}")
        if not self.policy.allows(found.alg):
            raise KeyDisabled(
                f"key {self.key_id} version {number} is {found.alg}, which its policy does not allow (algs)"
            )
        if not self.is_usable(number):
            raise KeyDisabled(
                f"key {self.key_id} version {number} is below its min_version {self.policy.min_version}"
            )
        return found

    def require_enabled(self) -> None:
        """Raises :class:`KeyDisabled` unless the key itself is enabled. The time does not matter here: a key
        outside its window can be rotated."""
        if self.state is not KeyState.ENABLED:
            raise KeyDisabled(f"key {self.key_id} is {self.state}")

    def operations_left(self, number: int) -> int | None:
        """Operations of the version that are not reserved yet; None: there is no limit."""
        limit = self.policy.max_operations
        return None if limit is None else max(0, limit - self.versions[number].reserved)

    def require_operations(self, number: int) -> None:
        """Raises :class:`KeyExhausted` if more is reserved for the version than the policy allows."""
        limit = self.policy.max_operations
        if limit is not None and self.versions[number].reserved > limit:
            raise self.exhausted(number)

    def exhausted(self, number: int) -> KeyExhausted:
        """That the version has no operations left."""
        return KeyExhausted(
            f"key {self.key_id} version {number} has no operations left of its max_operations"
            f" {self.policy.max_operations}; rotate the key"
        )

    def reservation(self, number: int, count: int) -> int:
        """How many operations of the version to reserve for who wants ``count`` now: those, or a hundredth of
        what is left, up to 65,536, if that is more; at most what is left.

        Raises KeyExhausted, KeyDisabled."""
        self.enabled_version(number)
        left = self.operations_left(number)
        if left is None:
            return count
        if left == 0:
            raise self.exhausted(number)
        return min(left, max(count, min(left // 100, MAX_RESERVATION)))

    def require_not_staged(self, draw: float, now: float) -> None:
        """Raises :class:`KeyDisabled` if the request is one of those that a key which is disabled in stages
        refuses at ``now`` (Unix seconds). ``draw``: 0 to 100, the request's own."""
        if self.staged is not None and draw < (share := self.staged.share(now)):
            raise KeyDisabled(
                f"key {self.key_id} is being disabled in stages: {share:.3g}% of its requests are refused now"
                " and this was one; repeat it, and move to another key"
            )

    def next_stage(self, percent: int, over: int, now: int) -> StagedDisable:
        """Refusing ``percent`` within ``over`` seconds from ``now`` on. Raises Conflict: the key is not
        enabled, or refuses more already."""
        if self.state is not KeyState.ENABLED:
            raise Conflict(f"key {self.key_id} is {self.state}; only an enabled key is disabled in stages")
        present = 0.0 if self.staged is None else self.staged.share(now)
        if percent < present:
            raise Conflict(
                f"key {self.key_id} refuses {present:.3g}% of its requests already, and the share only grows;"
                " enable takes it back"
            )
        return StagedDisable(percent=percent, since=now, over=over, start=round(present, 4) if over else 0.0)

    def require_in_window(self, now: float) -> None:
        """Raises :class:`KeyDisabled` if the policy excludes ``now`` (Unix seconds)."""
        policy = self.policy
        if policy.not_before is not None and now < policy.not_before:
            raise KeyDisabled(f"key {self.key_id} may be used from {policy.not_before} on (not_before)")
        if policy.expired(now):
            raise KeyDisabled(f"key {self.key_id} could be used until {policy.not_after} (not_after)")

    def rotation_due(self, now: float) -> bool:
        """Whether the service should make the next version at ``now`` (Unix seconds): the newest is old
        enough, or nine tenths of its operations are reserved."""
        period = self.policy.rotation_period_seconds
        newest = self.versions[len(self.versions)]
        limit = self.policy.max_operations
        used_up = limit is not None and newest.reserved * 10 >= limit * 9
        return (
            period is not None
            and self.state is KeyState.ENABLED
            and newest.origin is Origin.GENERATED
            and (used_up or now >= newest.created_at + period)
            and not self.policy.expired(now)
        )

    def changed_policy(self, change: PolicyChange) -> KeyPolicy:
        """The policy after ``change``.

        Raises BadRequest (not possible for this key), Conflict (the key is destroyed)."""
        if self.state is KeyState.DESTROYED:
            raise Conflict(f"key {self.key_id} is destroyed; its policy does not change any more")
        policy = change.applied(self.policy)
        newest = self.versions[len(self.versions)]
        policy.check(ALGORITHMS[self.alg], versions=newest.number, imported=newest.origin is Origin.IMPORTED)
        return policy


def check_key_id(key_id: str) -> str:
    """``key_id`` if it is well-formed. Raises :class:`BadRequest`."""
    if KEY_ID.fullmatch(key_id) is None:
        raise BadRequest("key_id must match [a-z0-9][a-z0-9._-]{0,127}", field="/key_id")
    return key_id


def record_identity(tenant: str, key_id: str, version: int, alg: str) -> bytes:
    """What a sealed record is bound to: each part with its length (docs/formats/keystore.md)."""
    parts = (b"ron-kms key v1", tenant.encode(), key_id.encode(), str(version).encode(), alg.encode())
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
