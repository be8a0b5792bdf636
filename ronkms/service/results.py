"""What operations answer. Bytes are raw here; the API writes them as base64. Times are Unix seconds, UTC."""

from __future__ import annotations

from time import time
from typing import Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from ronkms.audit.proof import InclusionProof
from ronkms.domain.algorithm import Usage
from ronkms.domain.key import Key, KeyState, Origin
from ronkms.domain.key_policy import KeyPolicy
from ronkms.errors import KeyExhausted

CacheUse = Literal["hit", "miss", "stale"]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all results."""


class Signature(Result, frozen=True, kw_only=True, gc=False):
    """``signature``: raw, DER for ECDSA unless ``p1363`` was asked for. ``receipt``: if it was asked for."""

    signature: bytes
    alg: str
    key_id: str
    key_version: int
    receipt: InclusionProof | UnsetType = UNSET


class SignedAlike(NamedTuple):
    """Items of a batch that one key version signed, from the first on."""

    like: Signature
    """What the items share; its signature is empty."""
    signatures: list[bytes]
    refusal: KeyExhausted | None
    """Why there are fewer signatures than items; None: there are as many."""


class Verification(Result, frozen=True, kw_only=True):
    """``key_version`` is null for an inline key; for an invalid signature it is the newest version tried.

    ``conformant``: every component verified, so that any verifier of the algorithm's standard accepts it.
    """

    valid: bool
    alg: str
    key_version: int | None
    mode: str
    components: dict[str, bool]
    conformant: bool
    cache: CacheUse


class Wrapped(Result, frozen=True, kw_only=True, gc=False):
    """``ciphertext``: an envelope (docs/formats/envelope.md)."""

    ciphertext: bytes
    alg: str
    key_id: str
    key_version: int


class Unwrapped(Result, frozen=True, kw_only=True, gc=False):
    """``plaintext``: what was wrapped."""

    plaintext: bytes
    alg: str
    key_id: str
    key_version: int


class DataKey(Result, frozen=True, kw_only=True, gc=False):
    """``plaintext`` is left out on request; ``ciphertext`` is its envelope."""

    ciphertext: bytes
    alg: str
    key_id: str
    key_version: int
    plaintext: bytes | UnsetType = UNSET


class NewVersion(Result, frozen=True, kw_only=True, gc=False):
    """Answer of create, rotate and import."""

    key_id: str
    key_version: int
    alg: str
    usage: Usage
    state: KeyState


class Use(Result, frozen=True, kw_only=True, gc=False):
    """Uses of one kind by one token, ``count`` of them from ``first_at`` to ``last_at``.

    ``key_version`` is left out if it is not known. ``refused``: attempts on a disabled key. ``token``: its
    id, as in the audit log."""

    op: str
    token: str
    first_at: int
    last_at: int
    count: int
    key_version: int | UnsetType = UNSET
    refused: bool | UnsetType = UNSET


class DryRun(Result, frozen=True, kw_only=True):
    """``allowed``: whether the destruction would be scheduled as asked for; else ``detail`` says why not.

    ``uses``: the latest 100, newest first; none before ``usage_since`` is known. ``usage_complete``: false if
    the newest uses are not known."""

    allowed: bool
    detail: str | UnsetType = UNSET
    usage_since: int | UnsetType = UNSET
    usage_complete: bool
    uses: list[Use]


class StagedDisabling(Result, frozen=True, kw_only=True, gc=False):
    """Of a key that is disabled in stages: ``refused_percent`` of its requests now, ``target_percent`` at
    ``target_at``."""

    refused_percent: float
    target_percent: int
    target_at: int


def staged_disabling(key: Key) -> StagedDisabling | UnsetType:
    """Of ``key`` as it is now."""
    staged = key.staged
    if staged is None:
        return UNSET
    return StagedDisabling(
        refused_percent=round(staged.share(time()), 2),
        target_percent=staged.percent,
        target_at=staged.since + staged.over,
    )


class StateChange(Result, frozen=True, kw_only=True):
    """State of the key, or of the version if ``key_version`` was given. With ``dry_run`` nothing changed."""

    key_id: str
    state: KeyState
    key_version: int | UnsetType = UNSET
    destroy_at: int | UnsetType = UNSET
    dry_run: DryRun | UnsetType = UNSET
    staged_disabling: StagedDisabling | UnsetType = UNSET


class PolicyOf(Result, frozen=True, kw_only=True, gc=False):
    """The whole policy of a key after the change."""

    key_id: str
    policy: KeyPolicy


class LastUse(Result, frozen=True, kw_only=True, gc=False):
    """The latest use ``at``, by the token with the id ``token``; ``count``: of all known uses."""

    at: int
    token: str
    count: int


class VersionDescription(Result, frozen=True, kw_only=True):
    """One version. ``destroy_at`` only while destruction is scheduled.

    ``last_used``: by operation (`sign`, `verify`, `wrap`, `unwrap`); left out without a known use.
    ``operations_left``: of the policy's `max_operations`, those that no process has reserved yet."""

    key_version: int
    alg: str
    state: KeyState
    origin: Origin
    created_at: int
    destroy_at: int | UnsetType = UNSET
    last_used: dict[str, LastUse] | UnsetType = UNSET
    operations_left: int | UnsetType = UNSET


class KeySummary(Result, frozen=True, kw_only=True):
    """One key of a list. ``key_version`` is the newest version, in any state."""

    key_id: str
    alg: str
    usage: Usage
    backend: str
    state: KeyState
    created_at: int
    key_version: int
    labels: dict[str, str]
    policy: KeyPolicy
    destroy_at: int | UnsetType = UNSET
    staged_disabling: StagedDisabling | UnsetType = UNSET
    damaged: bool | UnsetType = UNSET


class KeyDescription(KeySummary, frozen=True, kw_only=True):
    """``versions``: the newest 100, newest first; ``version_count`` counts all.

    ``usage_since``: no use before it is known; left out if none is known at all just now."""

    version_count: int
    usage_since: int | UnsetType = UNSET
    versions: list[VersionDescription]


class KeyPage(Result, frozen=True, kw_only=True):
    """``next``: what to give as ``after`` for the next page; absent on the last."""

    keys: list[KeySummary]
    next: str | UnsetType = UNSET


class Jwks(Result, frozen=True, kw_only=True):
    """A JWK set (RFC 7517 section 5); ``next`` as in :class:`KeyPage`."""

    keys: list[dict[str, object]]
    next: str | UnsetType = UNSET


class ImportParams(Result, frozen=True, kw_only=True, gc=False):
    """A one-time wrapping key. ``public_key``: SubjectPublicKeyInfo DER, or the raw X-Wing key (1216)."""

    import_id: str
    mechanism: str
    public_key: bytes
    expires_at: int


class ItemError(Result, frozen=True, kw_only=True, gc=False):
    """Why one item of a batch failed; ``code`` and ``reason`` as in problem+json."""

    code: str
    detail: str
    reason: str | UnsetType = UNSET
