"""A Merkle tree that keeps its right edge alone: enough for its root at any size. No I/O."""

from __future__ import annotations

from ronkms.audit.merkle import EMPTY_ROOT, node_hash


class Frontier:
    """``size`` leaves in memory of the order of log(size)."""

    def __init__(self) -> None:
        self.size = 0
        self._edge: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """The next leaf hash (32 bytes)."""
        carry, rest = leaf, self.size
        while rest & 1:
            carry = node_hash(self._edge.pop(), carry)
            rest >>= 1
        self._edge.append(carry)
        self.size += 1

    def root(self) -> bytes:
        """RFC 9162 section 2.1.1."""
        if not self._edge:
            return EMPTY_ROOT
        result = self._edge[-1]
        for left in reversed(self._edge[:-1]):
            result = node_hash(left, result)
        return result
