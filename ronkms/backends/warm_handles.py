"""Handles that a process keeps between requests, the least recently used let go first."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Final, Generic, TypeVar

H = TypeVar("H")

MOST: Final = 131_072
"""Locked memory sets a lower bound for all but Ed25519 and wrapping keys."""
MOST_IN_HEAP: Final = 1024
"""Of those, keys that their library keeps in its heap: some 1 KiB for EC, 5 for RSA."""


class WarmHandles(Generic[H]):
    """By record identity. Whoever else holds a handle keeps it usable; the hot path holds it weakly."""

    def __init__(self, most: int = MOST, most_in_heap: int = MOST_IN_HEAP) -> None:
        self._most = most
        self._most_in_heap = most_in_heap
        self._handles: OrderedDict[bytes, H] = OrderedDict()
        self._in_heap: OrderedDict[bytes, None] = OrderedDict()
        self._change = Lock()

    def __len__(self) -> int:
        return len(self._handles)

    def get(self, identity: bytes) -> H | None:
        """The handle if it is kept. Counts as a use."""
        with self._change:
            handle = self._handles.get(identity)
            if handle is not None:
                self._handles.move_to_end(identity)
                if identity in self._in_heap:
                    self._in_heap.move_to_end(identity)
            return handle

    def keep(self, identity: bytes, handle: H, *, in_heap: bool) -> None:
        """As the one that was used last."""
        with self._change:
            self._remove(identity)
            self._handles[identity] = handle
            if in_heap:
                self._in_heap[identity] = None
            if len(self._in_heap) > self._most_in_heap:
                self._remove(next(iter(self._in_heap)))
            if len(self._handles) > self._most:
                self._remove(next(iter(self._handles)))

    def drop(self, identity: bytes) -> None:
        """Lets a handle go; no error if it is not kept."""
        with self._change:
            self._remove(identity)

    def drop_oldest(self) -> bool:
        """Lets the least recently used handle go. False if there is none."""
        with self._change:
            if not self._handles:
                return False
            self._remove(next(iter(self._handles)))
            return True

    def after_fork(self) -> None:
        """Drops the parent's handles, which are of no use here."""
        self._change = Lock()
        self._handles.clear()
        self._in_heap.clear()

    def _remove(self, identity: bytes) -> None:
        self._handles.pop(identity, None)
        self._in_heap.pop(identity, None)
