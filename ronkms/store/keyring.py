"""All keys in memory, as the journal's entries add up to them. No I/O.

Invariants: a key is kept packed as long as it has few versions, and made anew for each reader; one with
many is kept as it is, its table of versions shared and growing in place, so that a rotation costs the same
at any version. A change replaces what is kept; readers take no lock and see a key before or after a change,
never between; what a reader holds may show later versions. The epoch of a key is the number of the last
entry that changed it, reservations apart.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterator
from sys import intern
from threading import Lock
from typing import Final

import msgspec
from msgspec.structs import replace

from ronkms.domain.key import Key, KeyState, KeyVersion, record_identity
from ronkms.domain.version_table import VersionTable
from ronkms.errors import IntegrityError, NotFound
from ronkms.journal import JournalAnchor
from ronkms.store.journal_entry import (
    AddVersion,
    Anchored,
    Create,
    Destroy,
    Reserve,
    SetPolicy,
    SetStage,
    SetState,
    VersionFields,
    anchor_entries,
    decode_entry,
    encode_entry,
    entries_of,
)
from ronkms.store.packed_key import TYPICAL, pack, unpack

MOST_PACKED: Final = 2
"""Versions of a key that is kept packed: with them grows how long it takes to unpack."""

RECENT: Final = 256
"""Unpacked keys that are remembered."""

Retired = Callable[[str, bytes], object]
"""Called with (backend, record identity) of a version that must not be used any more."""


class Keyring:
    """The state of a file store; a ``JournalState``."""

    def __init__(self, retired: Retired) -> None:
        self._retired = retired
        self._change = Lock()
        self._tenants: dict[str, dict[str, bytes | Key]] = {}
        self._recent: list[tuple[bytes, Key] | None] = [None] * RECENT
        """Keys that were unpacked lately, each with what it was unpacked from. Nothing changes them."""
        self._count: Counter[tuple[str, str]] = Counter()
        self._sorted_ids: dict[str, list[str]] = {}
        self._versions = 0
        self._scheduled: dict[tuple[str, str, int | None], int] = {}
        self._rotating: set[tuple[str, str]] = set()
        """Keys with a rotation period."""
        self._staged: set[tuple[str, str]] = set()
        """Keys that are disabled in stages."""
        self._damaged: dict[tuple[str, str], dict[int, str]] = {}
        self._anchors: dict[str, JournalAnchor] = {}

    # --- reading

    def get(self, tenant: str, key_id: str) -> Key:
        """Raises NotFound."""
        kept = self._tenants.get(tenant, {}).get(key_id)
        if kept is None:
            raise NotFound(f"there is no key {key_id}")
        if isinstance(kept, Key):
            return kept
        place = hash(key_id) % RECENT
        recent = self._recent[place]
        if recent is not None and recent[0] is kept:
            return recent[1]
        key = unpack(tenant, key_id, kept)
        self._recent[place] = kept, key
        return key

    def find(self, tenant: str, key_id: str) -> Key | None:
        """The key, or None, in as much time: for who may not know yet whether there is one."""
        kept = self._tenants.get(tenant, {}).get(key_id)
        if isinstance(kept, bytes):
            return unpack(tenant, key_id, kept)
        # Whether there is a key must not show in how long its caller is refused.
        unpack(tenant, key_id, TYPICAL)
        return kept

    def page(self, tenant: str, after: str, limit: int) -> list[Key]:
        """Keys of the tenant in key-id order, those greater than ``after``, at most ``limit``."""
        ids = self._sorted_ids.get(tenant)
        if ids is None:
            with self._change:
                ids = self._sorted_ids[tenant] = sorted(self._tenants.get(tenant, {}))
        start = bisect_right(ids, after)
        return [self.get(tenant, key_id) for key_id in ids[start : start + limit]]

    def every_key(self) -> Iterator[Key]:
        """Every key of every tenant, as of now."""
        for tenant, keys in list(self._tenants.items()):
            for key_id, kept in list(keys.items()):
                yield unpack(tenant, key_id, kept) if isinstance(kept, bytes) else kept

    def count(self) -> dict[tuple[str, str], int]:
        """Keys by (state, alg)."""
        with self._change:
            return dict(self._count)

    def due(self, now: int) -> list[tuple[str, str, int | None]]:
        """What is scheduled for destruction at ``now`` or earlier, the earliest first."""
        due = [(at, name) for name, at in list(self._scheduled.items()) if at <= now]
        return [name for _, name in sorted(due, key=lambda item: item[0])]

    def due_for_rotation(self, now: int) -> list[Key]:
        """Keys whose rotation period has passed at ``now``, by tenant and key id."""
        keys = (self.get(*name) for name in sorted(self._rotating.copy()))
        return [key for key in keys if key.rotation_due(now)]

    def due_for_disabling(self, now: int) -> list[Key]:
        """Keys that are disabled in stages and refuse everything at ``now``, by tenant and key id."""
        keys = (self.get(*name) for name in sorted(self._staged.copy()))
        return [key for key in keys if key.staged is not None and key.staged.complete(now)]

    def anchor(self, journal: str) -> JournalAnchor | None:
        """What is remembered of another journal."""
        return self._anchors.get(journal)

    def damaged(self) -> list[str]:
        """Names of damaged records."""
        return [name for names in list(self._damaged.values()) for name in list(names.values())]

    # --- the journal

    def apply(self, seq: int, entry: bytes) -> None:
        """Takes one committed entry. Raises IntegrityError if it does not fit what went before."""
        try:
            change = decode_entry(entry)
        except msgspec.DecodeError as error:
            raise IntegrityError(
                f"keystore journal entry {seq} is of a form unknown here: {error}"
            ) from error
        with self._change:
            if isinstance(change, Create):
                self._create(seq, change)
                return
            if isinstance(change, Anchored):
                known = self._anchors.get(change.journal, JournalAnchor(0))
                self._anchors[change.journal] = JournalAnchor(change.seq, {**known.keep, **change.keep})
                return
            key = self.find(change.tenant, change.key_id)
            if key is None:
                raise IntegrityError(f"keystore journal entry {seq} changes a key that does not exist")
            if isinstance(change, AddVersion):
                self._add_version(seq, key, change.version)
            elif isinstance(change, SetPolicy):
                self._change_policy(seq, key, change)
            elif isinstance(change, Reserve):
                self._reserve(seq, key, change)
            elif isinstance(change, SetStage):
                self._put(replace(key, staged=change.staged, epoch=seq))
                self._staged.add((key.tenant, key.key_id))
            elif change.number is None:
                self._change_key(seq, key, change)
            else:
                self._change_version(seq, key, change.number, change)

    def live_count(self) -> int:
        """One entry a version, and those of the anchors."""
        return self._versions + sum(map(len, map(anchor_entries, self._anchors, self._anchors.values())))

    def live_entries(self) -> Iterator[bytes]:
        """Entries that build the present state from nothing."""
        for key in self.every_key():
            yield from map(encode_entry, entries_of(key))
        for journal, anchor in self._anchors.items():
            yield from map(encode_entry, anchor_entries(journal, anchor))

    def _create(self, seq: int, entry: Create) -> None:
        tenant, key_id = intern(entry.tenant), entry.key_id
        if key_id in self._tenants.setdefault(tenant, {}) or entry.version.number != 1:
            raise IntegrityError(f"keystore journal entry {seq} creates a key twice")
        version = _version(entry.version)
        self._versions += 1
        self._schedule(tenant, key_id, 1, version.destroy_at)
        self._schedule(tenant, key_id, None, entry.destroy_at)
        key = Key(
            tenant=tenant,
            key_id=key_id,
            alg=version.alg,
            usage=entry.usage,
            backend=entry.backend,
            state=entry.state,
            created_at=entry.at,
            epoch=seq,
            labels=entry.labels,
            policy=entry.policy,
            versions=VersionTable((version,)),
            destroy_at=entry.destroy_at,
            staged=entry.staged,
        )
        if entry.staged is not None:
            self._staged.add((tenant, key_id))
        self._put(key)
        self._note_rotation(key)
        if tenant in self._sorted_ids:
            insort(self._sorted_ids[tenant], key_id)

    def _add_version(self, seq: int, key: Key, fields: VersionFields) -> None:
        if fields.number != len(key.versions) + 1:
            raise IntegrityError(f"keystore journal entry {seq} leaves a gap in the versions of a key")
        key.versions[fields.number] = version = _version(fields)
        self._versions += 1
        self._schedule(key.tenant, key.key_id, fields.number, version.destroy_at)
        self._put(replace(key, alg=version.alg, epoch=seq))

    def _change_key(self, seq: int, key: Key, change: SetState | Destroy) -> None:
        if isinstance(change, SetState):
            state, destroy_at = change.state, change.destroy_at
        else:
            state, destroy_at = KeyState.DESTROYED, None
            for version in list(key.versions.values()):
                self._end_version(key, version)
        self._schedule(key.tenant, key.key_id, None, destroy_at)
        self._put(replace(key, state=state, destroy_at=destroy_at, staged=None, epoch=seq))
        self._staged.discard((key.tenant, key.key_id))
        if state is not KeyState.ENABLED:
            for version in key.versions.values():
                self._retire(key, version)

    def _change_policy(self, seq: int, key: Key, change: SetPolicy) -> None:
        changed = replace(key, policy=change.policy, epoch=seq)
        self._put(changed)
        self._note_rotation(changed)
        for number, version in key.versions.items():
            if key.is_usable(number) and not changed.is_usable(number):
                self._retire(key, version)

    def _change_version(self, seq: int, key: Key, number: int, change: SetState | Destroy) -> None:
        version = key.versions.get(number)
        if version is None:
            raise IntegrityError(f"keystore journal entry {seq} changes a version that does not exist")
        if isinstance(change, SetState):
            key.versions[number] = replace(version, state=change.state, destroy_at=change.destroy_at)
            self._schedule(key.tenant, key.key_id, number, change.destroy_at)
        else:
            self._end_version(key, version)
        self._put(replace(key, epoch=seq))
        if key.versions[number].state is not KeyState.ENABLED:
            self._retire(key, version)

    def _reserve(self, seq: int, key: Key, change: Reserve) -> None:
        """Leaves the epoch: no verdict depends on it, and the other entries are many fewer."""
        version = key.versions.get(change.number)
        if version is None or change.reserved < version.reserved:
            raise IntegrityError(f"keystore journal entry {seq} takes a reservation back")
        key.versions[change.number] = replace(version, reserved=change.reserved)
        self._put(key)

    def _end_version(self, key: Key, version: KeyVersion) -> None:
        key.versions[version.number] = replace(version, state=KeyState.DESTROYED, destroy_at=None)
        self._schedule(key.tenant, key.key_id, version.number, None)
        self._unmark(key.tenant, key.key_id, version.number)

    def _retire(self, key: Key, version: KeyVersion) -> None:
        identity = record_identity(key.tenant, key.key_id, version.number, version.alg)
        self._retired(key.backend, identity)

    def _schedule(self, tenant: str, key_id: str, number: int | None, destroy_at: int | None) -> None:
        if destroy_at is None:
            self._scheduled.pop((tenant, key_id, number), None)
        else:
            self._scheduled[tenant, key_id, number] = destroy_at

    def _note_rotation(self, key: Key) -> None:
        if key.policy.rotation_period_seconds is None:
            self._rotating.discard((key.tenant, key.key_id))
        else:
            self._rotating.add((key.tenant, key.key_id))

    def _put(self, key: Key) -> None:
        keys = self._tenants[key.tenant]
        before = keys.get(key.key_id)
        damaged = self._damage_of(key)
        if damaged != key.damaged:
            key = replace(key, damaged=damaged)
        kept = pack(key) if len(key.versions) <= MOST_PACKED else key
        keys[key.key_id] = kept
        self._count[key.state.value, key.alg] += 1
        if before is not None:
            self._uncount(unpack(key.tenant, key.key_id, before) if isinstance(before, bytes) else before)

    def _uncount(self, key: Key) -> None:
        name = key.state.value, key.alg
        self._count[name] -= 1
        if not self._count[name]:
            del self._count[name]

    # --- damage

    def mark_damaged(self, tenant: str, key_id: str, number: int, name: str) -> bool:
        """The record ``name`` does not authenticate. False if that was known."""
        with self._change:
            names = self._damaged.setdefault((tenant, key_id), {})
            if number in names:
                return False
            names[number] = name
            self._put(self.get(tenant, key_id))
            return True

    def clear_damaged(self, tenant: str, key_id: str, number: int) -> bool:
        """The record is good again. False if it was not known to be damaged."""
        if (tenant, key_id) not in self._damaged:
            return False
        with self._change:
            known = self._unmark(tenant, key_id, number)
            self._put(self.get(tenant, key_id))
            return known

    def _unmark(self, tenant: str, key_id: str, number: int) -> bool:
        names = self._damaged.get((tenant, key_id), {})
        known = names.pop(number, None) is not None
        if known and not names:
            del self._damaged[tenant, key_id]
        return known

    def _damage_of(self, key: Key) -> str | None:
        """The name of the record that would sign, if it is damaged."""
        names = self._damaged.get((key.tenant, key.key_id))
        if not names:
            return None
        for number in range(len(key.versions), 0, -1):
            if key.is_usable(number):
                return names.get(number)
        return None


def _version(fields: VersionFields) -> KeyVersion:
    return KeyVersion(
        number=fields.number,
        alg=fields.alg,
        state=fields.state,
        origin=fields.origin,
        created_at=fields.at,
        public=fields.public,
        record_digest=fields.digest,
        destroy_at=fields.destroy_at,
        reserved=fields.reserved,
    )
