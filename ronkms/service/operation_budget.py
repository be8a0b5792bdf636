"""The operations that ``max_operations`` leaves to a version (docs/formats/keystore.md, "Reservations").

Invariants: an operation is taken from what the store has reserved for this process, durably, before its
cryptography begins; so over all processes and crashes no version does more than its limit. What a process
had reserved and not used when it ended is lost.
"""

from __future__ import annotations

from threading import Lock

from ronkms.domain.key import Key, KeyVersion
from ronkms.errors import KeyExhausted
from ronkms.service.journaling import Journaling
from ronkms.store.protocol import KeyStore


class OperationBudget:
    """Of one process; made before the fork, it is empty then."""

    def __init__(self, *, store: KeyStore, journaling: Journaling) -> None:
        self._store = store
        self._journaling = journaling
        self._lock = Lock()
        self._left: dict[tuple[str, str, int], int] = {}

    def take(self, key: Key, version: KeyVersion, count: int = 1) -> int:
        """How many of ``count`` operations the version may do: all, or those that are left; at least one.

        They are spent, whatever becomes of them. Raises KeyExhausted, KeyDisabled, BackendUnavailable (the
        disk)."""
        if key.policy.max_operations is None:
            return count
        # Lowered below what is reserved, by whomever: all of that counts as used.
        key.require_operations(version.number)
        name = key.tenant, key.key_id, version.number
        with self._lock:
            left = self._left.get(name, 0)
            if left < count:
                try:
                    left += self._reserve(key, version.number, count - left)
                except KeyExhausted:
                    if not left:
                        raise
            taken = min(left, count)
            self._left[name] = left - taken
            if left == taken:
                del self._left[name]
        return taken

    def _reserve(self, key: Key, number: int, count: int) -> int:
        granted, last = self._store.reserve(key.tenant, key.key_id, number, count)
        if last:
            self._journaling.exhausted(key, number)
        return granted
