"""A bounded map with least-recently-used eviction, safe for the threads of one process."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class RecentlyUsed(Generic[Value]):
    """Keeps the ``capacity`` entries used last. Lookups take no lock."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[bytes, Value] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Value | None:
        """The entry, now the most recent; None if there is none."""
        try:
            value = self._entries[key]
            self._entries.move_to_end(key)
        except KeyError:
            return None
        return value

    def put(self, key: bytes, value: Value) -> None:
        """Adds or replaces an entry and drops the least recent one beyond the capacity."""
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
