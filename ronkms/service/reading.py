"""Reading keys: description, list, public keys. Nothing secret is reachable from here."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

import msgspec
from msgspec import UNSET

from ronkms.domain.algorithm import ALGORITHMS, Usage
from ronkms.domain.jwk import jwk_from_public, pem_from_public
from ronkms.domain.key import Key, KeyState, KeyVersion
from ronkms.domain.key_use import KeyUsage
from ronkms.errors import BackendUnavailable, BadRequest, KeyDisabled
from ronkms.service.call import Call
from ronkms.service.key_access import KeyAccess
from ronkms.service.results import (
    Jwks,
    KeyDescription,
    KeyPage,
    KeySummary,
    LastUse,
    VersionDescription,
    staged_disabling,
)
from ronkms.store.protocol import KeyStore
from ronkms.usage.protocol import UsageReader

MAX_PAGE: Final = 1000
SHOWN_VERSIONS: Final = 100


class Reading:
    """All methods raise BadRequest, Unauthenticated, Denied, PolicyUnavailable, NotFound."""

    def __init__(self, *, access: KeyAccess, store: KeyStore, usage: UsageReader) -> None:
        self._access = access
        self._usage = usage
        self._store = store

    def describe(self, call: Call, key_id: str) -> KeyDescription:
        """Metadata of a key in any state, with its newest versions."""
        key = self._access.find(call, key_id)
        if key.policy.max_operations is not None:
            self._store.catch_up()
        usage = self._usage_of(key)
        newest = range(len(key.versions), 0, -1)
        return KeyDescription(
            **msgspec.structs.asdict(_summary(key)),
            version_count=len(key.versions),
            usage_since=UNSET if usage is None or usage.since is None else usage.since,
            versions=[_version(key, number, usage) for number in islice(newest, SHOWN_VERSIONS)],
        )

    def _usage_of(self, key: Key) -> KeyUsage | None:
        """None if it cannot be told now: everything else still can."""
        try:
            usage = self._usage.of(key.tenant, key.key_id)
        except BackendUnavailable:
            return None
        return usage if usage.complete else None

    def page(self, call: Call, after: str, limit: int) -> KeyPage:
        """Keys of the tenant in key-id order. Needs a right on all keys."""
        keys, following = self._page(call, after, limit)
        return KeyPage(keys=[_summary(key) for key in keys], next=following or UNSET)

    def public_jwk(self, call: Call, key_id: str, number: int | None) -> dict[str, object]:
        """Of the version, or of the one that signs (the newest, if none is enabled)."""
        version = self._public_version(call, key_id, number)
        return jwk_from_public(version.alg, version.public, key_id=key_id, key_version=version.number)

    def public_pem(self, call: Call, key_id: str, number: int | None) -> str:
        """As :meth:`public_jwk`, SubjectPublicKeyInfo in PEM."""
        version = self._public_version(call, key_id, number)
        return pem_from_public(version.alg, version.public)

    def jwks(self, call: Call, after: str, limit: int) -> Jwks:
        """Public keys of enabled versions (the newest 100 a key) of enabled keys. Needs a right on all."""
        keys, following = self._page(call, after, limit)
        published = [
            jwk_from_public(version.alg, version.public, key_id=key.key_id, key_version=version.number)
            for key in keys
            if key.state is KeyState.ENABLED and key.usage is Usage.SIGN
            for version in islice(_enabled(key), SHOWN_VERSIONS)
        ]
        return Jwks(keys=published, next=following or UNSET)

    def _page(self, call: Call, after: str, limit: int) -> tuple[list[Key], str]:
        if not 1 <= limit <= MAX_PAGE:
            raise BadRequest(f"limit must be 1 to {MAX_PAGE}", field="/limit")
        self._access.require_any(call)
        keys = self._store.page(call.tenant, after=after, limit=limit + 1)
        more = len(keys) > limit
        keys = keys[:limit]
        return keys, keys[-1].key_id if more else ""

    def _public_version(self, call: Call, key_id: str, number: int | None) -> KeyVersion:
        key = self._access.find(call, key_id)
        if not ALGORITHMS[key.alg].asymmetric:
            raise BadRequest(f"key {key_id} is {key.alg}, which has no public key", field="/key_id")
        if number is not None:
            version = key.version(number)
        else:
            try:
                version = key.newest_enabled()
            except KeyDisabled:
                version = key.versions[len(key.versions)]
        call.alg, call.key_version = version.alg, version.number
        return version


def _enabled(key: Key) -> Iterator[KeyVersion]:
    for number in range(len(key.versions), 0, -1):
        if key.is_usable(number):
            yield key.versions[number]


def _summary(key: Key) -> KeySummary:
    return KeySummary(
        key_id=key.key_id,
        alg=key.alg,
        usage=key.usage,
        backend=key.backend,
        state=key.state,
        created_at=key.created_at,
        key_version=len(key.versions),
        labels=dict(key.labels),
        policy=key.policy,
        destroy_at=UNSET if key.destroy_at is None else key.destroy_at,
        staged_disabling=staged_disabling(key),
        damaged=UNSET if key.damaged is None else True,
    )


def _version(key: Key, number: int, usage: KeyUsage | None) -> VersionDescription:
    version = key.versions[number]
    left = key.operations_left(number)
    uses = {
        name.op: LastUse(at=one.last, token=one.token, count=one.count)
        for name, one in (usage.totals.items() if usage else ())
        if name.version == version.number and not name.refused
    }
    return VersionDescription(
        key_version=version.number,
        alg=version.alg,
        state=version.state,
        origin=version.origin,
        created_at=version.created_at,
        destroy_at=UNSET if version.destroy_at is None else version.destroy_at,
        last_used=uses or UNSET,
        operations_left=UNSET if left is None else left,
    )
