"""A key as one value without references: keys are many, and each process copies the pages of those it counts
references to. Lives in the memory of one server only; its form is nobody's format.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ronkms.domain.algorithm import Usage
from ronkms.domain.key import Key, KeyState, KeyVersion, Origin
from ronkms.domain.key_policy import KeyPolicy
from ronkms.domain.staged_disable import StagedDisable
from ronkms.domain.version_table import VersionTable

NO_LABELS: Final[Mapping[str, str]] = {}
_NO_POLICY: Final = KeyPolicy()


class _VersionRest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What most versions have in common."""

    state: KeyState
    origin: Origin
    destroy_at: int | None
    reserved: int


class _Version(msgspec.Struct, frozen=True, array_like=True, gc=False):
    alg: str
    created_at: int
    public: bytes
    record_digest: bytes
    rest: _VersionRest | None


class _KeyRest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What most keys have in common."""

    state: KeyState
    labels: Mapping[str, str]
    policy: KeyPolicy
    destroy_at: int | None
    staged: StagedDisable | None
    damaged: str | None


class _Key(msgspec.Struct, frozen=True, array_like=True, gc=False):
    usage: Usage
    backend: str
    created_at: int
    epoch: int
    alg: str
    versions: tuple[_Version, ...]
    rest: _KeyRest | None


_COMMON_VERSION: Final = _VersionRest(KeyState.ENABLED, Origin.GENERATED, None, 0)
_COMMON_KEY: Final = _KeyRest(KeyState.ENABLED, NO_LABELS, _NO_POLICY, None, None, None)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Key).decode


TYPICAL: Final = _encode(
    _Key(
        Usage.SIGN,
        "file",
        2**31,
        2**16,
        "Ed25519",
        (_Version("Ed25519", 2**31, bytes(32), bytes(32), None),),
        None,
    )
)
"""What most packed keys are like."""


def pack(key: Key) -> bytes:
    """All of the key but its tenant and key id."""
    rest = _KeyRest(key.state, key.labels, key.policy, key.destroy_at, key.staged, key.damaged)
    return _encode(
        _Key(
            key.usage,
            key.backend,
            key.created_at,
            key.epoch,
            key.alg,
            tuple(map(_pack_version, key.versions.values())),
            None if rest == _COMMON_KEY else rest,
        )
    )


def unpack(tenant: str, key_id: str, packed: bytes) -> Key:
    """Inverse of :func:`pack`."""
    found = _decode(packed)
    rest = found.rest or _COMMON_KEY
    return Key(
        tenant=tenant,
        key_id=key_id,
        alg=found.alg,
        usage=found.usage,
        backend=found.backend,
        state=rest.state,
        created_at=found.created_at,
        epoch=found.epoch,
        labels=rest.labels,
        policy=rest.policy,
        versions=VersionTable(
            [_unpack_version(number, version) for number, version in enumerate(found.versions, 1)]
        ),
        destroy_at=rest.destroy_at,
        staged=rest.staged,
        damaged=rest.damaged,
    )


def _pack_version(version: KeyVersion) -> _Version:
    rest = _VersionRest(version.state, version.origin, version.destroy_at, version.reserved)
    return _Version(
        version.alg,
        version.created_at,
        version.public,
        version.record_digest,
        None if rest == _COMMON_VERSION else rest,
    )


def _unpack_version(number: int, version: _Version) -> KeyVersion:
    rest = version.rest or _COMMON_VERSION
    return KeyVersion(
        number=number,
        alg=version.alg,
        state=rest.state,
        origin=rest.origin,
        created_at=version.created_at,
        public=version.public,
        record_digest=version.record_digest,
        destroy_at=rest.destroy_at,
        reserved=rest.reserved,
    )
