"""The entries of the key store's journal (docs/formats/keystore.md). Bytes are base64 in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ronkms.domain.algorithm import Usage
from ronkms.domain.key import Key, KeyState, KeyVersion, Origin
from ronkms.domain.key_policy import KeyPolicy
from ronkms.domain.staged_disable import StagedDisable
from ronkms.journal import JournalAnchor

_KEPT_AN_ENTRY: Final = 1000


class VersionFields(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """One key version."""

    number: int
    alg: str
    origin: Origin
    at: int
    public: bytes
    digest: bytes
    state: KeyState = KeyState.ENABLED
    destroy_at: int | None = None
    reserved: int = 0


class Create(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="op",
    tag="create",
):
    """A new key with its first version."""

    tenant: str
    key_id: str
    usage: Usage
    backend: str
    labels: Mapping[str, str] = {}
    policy: KeyPolicy = KeyPolicy()
    at: int
    version: VersionFields
    state: KeyState = KeyState.ENABLED
    destroy_at: int | None = None
    staged: StagedDisable | None = None


class AddVersion(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="op", tag="add_version"
):
    """The next version of a key."""

    tenant: str
    key_id: str
    version: VersionFields


class SetState(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="op",
    tag="state",
):
    """A new state of a version, or of the key itself if ``number`` is absent."""

    tenant: str
    key_id: str
    number: int | None = None
    state: KeyState
    destroy_at: int | None = None


class SetStage(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="op", tag="stage"
):
    """From now on the key refuses a share of its requests, until the next ``state`` of the key."""

    tenant: str
    key_id: str
    staged: StagedDisable


class Reserve(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="op", tag="reserve"
):
    """Operations of a version that are given out in all from now on."""

    tenant: str
    key_id: str
    number: int
    reserved: int


class SetPolicy(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="op", tag="policy"
):
    """The whole policy of a key from now on."""

    tenant: str
    key_id: str
    policy: KeyPolicy


class Destroy(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="op",
    tag="destroy",
):
    """The end of a version's material, or of the key with all versions if ``number`` is absent."""

    tenant: str
    key_id: str
    number: int | None = None


class Anchored(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="op",
    tag="anchor",
):
    """Another journal of the data directory has reached entry ``seq``. ``keep``: what must outlive it, added
    to what is kept of it already."""

    journal: str
    seq: int
    keep: Mapping[str, str] = {}


Entry = Anchored | Create | AddVersion | SetState | SetStage | Reserve | SetPolicy | Destroy

_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)
_encoder = msgspec.json.Encoder()


def encode_entry(entry: Entry) -> bytes:
    """Compact JSON without a newline."""
    return _encoder.encode(entry)


def decode_entry(data: bytes) -> Entry:
    """Inverse of ``encode_entry``. Raises msgspec.DecodeError: of a form that this version does not know."""
    return _decoder.decode(data)


def version_fields(version: KeyVersion) -> VersionFields:
    """The version as an entry holds it."""
    return VersionFields(
        number=version.number,
        alg=version.alg,
        origin=version.origin,
        at=version.created_at,
        public=version.public,
        digest=version.record_digest,
        state=version.state,
        destroy_at=version.destroy_at,
        reserved=version.reserved,
    )


def entries_of(key: Key) -> list[Entry]:
    """The entries that build ``key`` as it is: one for each version."""
    first = Create(
        tenant=key.tenant,
        key_id=key.key_id,
        usage=key.usage,
        backend=key.backend,
        labels=key.labels,
        policy=key.policy,
        at=key.created_at,
        version=version_fields(key.versions[1]),
        state=key.state,
        destroy_at=key.destroy_at,
        staged=key.staged,
    )
    return [
        first,
        *(
            AddVersion(tenant=key.tenant, key_id=key.key_id, version=version_fields(key.versions[number]))
            for number in range(2, len(key.versions) + 1)
        ),
    ]


def anchor_entries(journal: str, anchor: JournalAnchor) -> list[Entry]:
    """The entries that build the anchor, each short enough for a line; one at least."""
    kept = list(anchor.keep.items())
    return [
        Anchored(journal=journal, seq=anchor.seq, keep=dict(kept[start : start + _KEPT_AN_ENTRY]))
        for start in range(0, max(len(kept), 1), _KEPT_AN_ENTRY)
    ]
