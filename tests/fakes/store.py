"""A key store in memory, as ``store.protocol.KeyStore`` says."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from hashlib import sha256

import msgspec

from ronkms.domain.algorithm import algorithm
from ronkms.domain.key import Key, KeyState, KeyVersion, Origin, record_identity
from ronkms.domain.key_policy import KeyPolicy, PolicyChange
from ronkms.domain.lifecycle import changes_key, check_transition
from ronkms.domain.version_table import VersionTable
from ronkms.errors import Conflict, KeyDisabled, NotFound
from ronkms.store.protocol import Condition, Seal


class FakeStore:
    """``on_refresh`` runs at each refresh, to change things under a request's feet."""

    name = "fake"

    def __init__(self) -> None:
        self.keys: dict[tuple[str, str], Key] = {}
        self.records: dict[tuple[str, str, int], bytes] = {}
        self.on_refresh = None

    def refresh(self) -> None:
        if self.on_refresh is not None:
            self.on_refresh()

    def get(self, tenant: str, key_id: str) -> Key:
        try:
            return self.keys[tenant, key_id]
        except KeyError:
            raise NotFound(f"no key {key_id}") from None

    def find(self, tenant: str, key_id: str) -> Key | None:
        return self.keys.get((tenant, key_id))

    def page(self, tenant: str, *, after: str = "", limit: int = 100) -> list[Key]:
        found = sorted(key_id for owner, key_id in self.keys if owner == tenant and key_id > after)
        return [self.keys[tenant, key_id] for key_id in found[:limit]]

    def every_key(self) -> Iterator[Key]:
        return iter(list(self.keys.values()))

    def record(self, tenant: str, key_id: str, version: int) -> bytes:
        try:
            return self.records[tenant, key_id, version]
        except KeyError:
            raise KeyDisabled("destroyed") from None

    def create(
        self,
        *,
        tenant: str,
        key_id: str,
        alg: str,
        backend: str,
        labels: Mapping[str, str],
        policy: KeyPolicy,
        origin: Origin,
        seal: Seal,
    ) -> Key:
        if (tenant, key_id) in self.keys:
            raise Conflict(f"key {key_id} exists")
        key = Key(
            tenant=tenant,
            key_id=key_id,
            alg=alg,
            usage=algorithm(alg).usage,
            backend=backend,
            state=KeyState.ENABLED,
            created_at=int(time.time()),
            epoch=0,
            labels=labels,
            policy=policy,
            versions=VersionTable(),
        )
        return self._add(key, alg, origin, seal)

    def add_version(
        self,
        tenant: str,
        key_id: str,
        *,
        alg: str,
        origin: Origin,
        seal: Seal,
        condition: Condition = lambda _: None,
    ) -> Key:
        key = self.get(tenant, key_id)
        key.require_enabled()
        condition(key)
        key.require_alg(alg)
        return self._add(key, alg, origin, seal)

    def _add(self, key: Key, alg: str, origin: Origin, seal: Seal) -> Key:
        number = len(key.versions) + 1
        record, public = seal(record_identity(key.tenant, key.key_id, number, alg))
        self.records[key.tenant, key.key_id, number] = record
        key.versions[number] = KeyVersion(
            number=number,
            alg=alg,
            state=KeyState.ENABLED,
            origin=origin,
            created_at=int(time.time()),
            public=public,
            record_digest=sha256(record).digest(),
        )
        return self._put(msgspec.structs.replace(key, alg=alg, epoch=key.epoch + 1))

    def _put(self, key: Key) -> Key:
        self.keys[key.tenant, key.key_id] = key
        return key

    def set_state(
        self,
        tenant: str,
        key_id: str,
        state: KeyState,
        *,
        version: int | None = None,
        destroy_at: int | None = None,
        condition: Condition = lambda _: None,
    ) -> Key:
        key = self.get(tenant, key_id)
        condition(key)
        epoch = key.epoch + 1
        if version is None:
            changes_key(key, state)
            return self._put(
                msgspec.structs.replace(key, state=state, destroy_at=destroy_at, staged=None, epoch=epoch)
            )
        old = key.version(version)
        check_transition(f"version {version}", old.state, state)
        key.versions[version] = msgspec.structs.replace(old, state=state, destroy_at=destroy_at)
        return self._put(msgspec.structs.replace(key, epoch=epoch))

    def stage_disable(self, tenant: str, key_id: str, percent: int, over: int) -> Key:
        key = self.get(tenant, key_id)
        staged = key.next_stage(percent, over, int(time.time()))
        return self._put(msgspec.structs.replace(key, staged=staged, epoch=key.epoch + 1))

    def reserve(self, tenant: str, key_id: str, number: int, count: int) -> tuple[int, bool]:
        key = self.get(tenant, key_id)
        granted = key.reservation(number, count)
        old = key.versions[number]
        key.versions[number] = msgspec.structs.replace(old, reserved=old.reserved + granted)
        return granted, key.operations_left(number) == 0

    def catch_up(self) -> None:
        self.refresh()

    def due_for_disabling(self, now: int) -> list[Key]:
        return [key for _, key in sorted(self.keys.items()) if key.staged and key.staged.complete(now)]

    def set_policy(self, tenant: str, key_id: str, change: PolicyChange) -> Key:
        key = self.get(tenant, key_id)
        return self._put(msgspec.structs.replace(key, policy=key.changed_policy(change), epoch=key.epoch + 1))

    def due_for_destruction(self, now: int) -> list[tuple[str, str, int | None]]:
        due: list[tuple[str, str, int | None]] = []
        for (tenant, key_id), key in self.keys.items():
            if key.destroy_at is not None and key.destroy_at <= now:
                due.append((tenant, key_id, None))
                continue
            due += [
                (tenant, key_id, version.number)
                for version in key.versions.values()
                if version.destroy_at is not None and version.destroy_at <= now
            ]
        return due

    def destroy(
        self, tenant: str, key_id: str, *, version: int | None = None, due_by: int | None = None
    ) -> Key:
        key = self.get(tenant, key_id)
        owner = key if version is None else key.version(version)
        if due_by is not None and (owner.destroy_at is None or owner.destroy_at > due_by):
            raise Conflict("not due")
        for number in list(key.versions) if version is None else [version]:
            self.records.pop((tenant, key_id, number), None)
            key.versions[number] = msgspec.structs.replace(
                key.versions[number], state=KeyState.DESTROYED, destroy_at=None
            )
        state = KeyState.DESTROYED if version is None else key.state
        return self._put(msgspec.structs.replace(key, state=state, destroy_at=None, epoch=key.epoch + 1))

    def due_for_rotation(self, now: int) -> list[Key]:
        return [key for _, key in sorted(self.keys.items()) if key.rotation_due(now)]

    def damage(self, tenant: str, key_id: str) -> None:
        """Marks a key's first record as damaged."""
        key = self.get(tenant, key_id)
        self._put(msgspec.structs.replace(key, damaged=f"{tenant}/{key_id}/1", epoch=key.epoch + 1))

    def damaged(self) -> list[str]:
        return [key.damaged for key in self.keys.values() if key.damaged]

    def count(self) -> dict[tuple[str, str], int]:
        counts: dict[tuple[str, str], int] = {}
        for key in self.keys.values():
            counts[key.state.value, key.alg] = counts.get((key.state.value, key.alg), 0) + 1
        return counts

    def after_fork(self) -> None:
        """Nothing to reopen."""

    def close(self) -> None:
        """Nothing to release."""
