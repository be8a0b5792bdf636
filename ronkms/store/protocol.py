"""What the service asks of a store of keys. One implementation a store name: ``file``, ``postgres``.

A store persists metadata and sealed records. A method that changes something returns only when the
change is durable (fsync or commit) and visible to every process of this server that calls
:meth:`KeyStore.refresh` afterwards. Reads come from memory; they never touch the disk but for
:meth:`KeyStore.record`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from ronkms.domain.key import Key, KeyState, Origin
from ronkms.domain.key_policy import KeyPolicy, PolicyChange

Seal = Callable[[bytes], tuple[bytes, bytes]]
"""Makes material for a record identity: returns (sealed record, public key)."""

Condition = Callable[[Key], object]
"""Raises a KmsError if the key, as it is now, must not be changed after all."""


class KeyStore(Protocol):
    """Keys by tenant and key id."""

    name: str

    def refresh(self) -> None:
        """Replays what other processes changed. Costs one atomic load when nothing did."""

    def catch_up(self) -> None:
        """As :meth:`refresh`, reservations of other processes included. Reads a small file."""

    def settle(self) -> None:
        """As :meth:`refresh`, after it was decided about a change that a dead process left half written.

        Raises BackendUnavailable."""

    def get(self, tenant: str, key_id: str) -> Key:
        """Raises NotFound."""

    def find(self, tenant: str, key_id: str) -> Key | None:
        """As :meth:`get`, None if there is no such key; how long it takes does not tell."""

    def page(self, tenant: str, *, after: str = "", limit: int = 100) -> list[Key]:
        """Keys of the tenant in key-id order, those greater than ``after``, at most ``limit``."""

    def every_key(self) -> Iterator[Key]:
        """All keys of all tenants, as of now."""

    def record(self, tenant: str, key_id: str, version: int) -> bytes:
        """The sealed record. Raises BackendUnavailable (damaged, named), KeyDisabled (destroyed)."""

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
        """A new key with version 1. Raises Conflict if it exists (in any state)."""

    def add_version(
        self,
        tenant: str,
        key_id: str,
        *,
        alg: str,
        origin: Origin,
        seal: Seal,
        condition: Condition = ...,
    ) -> Key:
        """The next version, enabled. ``condition`` is decided under the lock; by default there is none.

        Raises NotFound, KeyDisabled (key is not enabled), and what ``condition`` raises."""

    def set_state(
        self,
        tenant: str,
        key_id: str,
        state: KeyState,
        *,
        version: int | None = None,
        destroy_at: int | None = None,
        condition: Condition = ...,
    ) -> Key:
        """Sets the state of the key or of one version; ``destroy_at`` with DESTROY_SCHEDULED only. The
        key's own ends its staged disabling.

        The transition was checked by ``domain.lifecycle``, and is checked again under the lock, after
        ``condition``. Raises NotFound, Conflict, and what ``condition`` raises."""

    def stage_disable(self, tenant: str, key_id: str, percent: int, over: int) -> Key:
        """Lets an enabled key refuse ``percent`` (1 to 100) of its requests within ``over`` seconds from now.

        Raises NotFound, Conflict (``Key.next_stage``, decided under the lock)."""

    def set_policy(self, tenant: str, key_id: str, change: PolicyChange) -> Key:
        """Changes the key's policy, merged and checked under the lock. Unchanged if it holds already.

        Raises NotFound, BadRequest (not possible for this key), Conflict (destroyed)."""

    def reserve(self, tenant: str, key_id: str, number: int, count: int) -> tuple[int, bool]:
        """Gives this process, durably, at least ``count`` operations of a version if its key's
        ``max_operations`` leaves them (``Key.reservation``, decided under the lock). The others need not see
        it before they reserve themselves.

        Returns (how many, whether they are the last). Raises NotFound, KeyDisabled, KeyExhausted."""

    def due_for_destruction(self, now: int) -> list[tuple[str, str, int | None]]:
        """(tenant, key_id, version or None for the whole key) whose window has passed."""

    def destroy(
        self, tenant: str, key_id: str, *, version: int | None = None, due_by: int | None = None
    ) -> Key:
        """Removes the material for good; the metadata stays. Idempotent.

        ``due_by``: only if the window has passed at that time (Unix seconds), decided under the lock, so that
        a restore just before wins. Raises NotFound, Conflict (not scheduled, or not due)."""

    def due_for_rotation(self, now: int) -> list[Key]:
        """Keys whose rotation period has passed at ``now`` (Unix seconds), by tenant and key id."""

    def due_for_disabling(self, now: int) -> list[Key]:
        """Keys that are disabled in stages and refuse everything at ``now``, by tenant and key id."""

    def damaged(self) -> list[str]:
        """Names of records found damaged, for readiness detail, logs and the metric."""

    def count(self) -> dict[tuple[str, str], int]:
        """Keys by (state, alg), for ``kms_keys{state,alg}``."""

    def after_fork(self) -> None:
        """To be called in each child: reopens descriptors that must not be shared."""

    def close(self) -> None:
        """Releases the directory."""
