"""The Merkle tree of RFC 9162 section 2.1: hashes, roots, proofs and their verification. No I/O.

All hashes are 32 raw bytes of SHA-256.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, Protocol

from ronkms.errors import IntegrityError

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256().digest()


class Nodes(Protocol):
    """The complete subtrees of a tree."""

    def node(self, level: int, index: int) -> bytes:
        """Root of the leaves [index * 2^level, (index + 1) * 2^level). Raises IntegrityError: not there."""


def leaf_hash(line: bytes) -> bytes:
    """RFC 9162 section 2.1.1, of a record without its newline."""
    return sha256(b"\x00" + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 9162 section 2.1.1."""
    return sha256(b"\x01" + left + right).digest()


def root(nodes: Nodes, size: int) -> bytes:
    """Root of the first ``size`` leaves."""
    return _range_root(nodes, 0, size) if size else EMPTY_ROOT


def inclusion_path(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """RFC 9162 section 2.1.3.1, for leaf ``index`` in the tree of ``size``; 0 <= index < size."""
    if not 0 <= index < size:
        raise ValueError("no such leaf in the tree")
    return _path(nodes, index, 0, size)


def consistency_path(nodes: Nodes, old: int, size: int) -> list[bytes]:
    """RFC 9162 section 2.1.4.1, from the tree of ``old`` to that of ``size``; 0 <= old <= size.

    Empty if ``old`` is 0 or ``size``."""
    if not 0 <= old <= size:
        raise ValueError("the older tree is the larger one")
    if old in {0, size}:
        return []
    return _subproof(nodes, old, 0, size, whole=True)


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected: bytes) -> None:
    """RFC 9162 section 2.1.3.2. Raises IntegrityError if ``path`` does not lead to ``expected``."""
    if not 0 <= index < size:
        raise IntegrityError("the proof is for a record that the tree does not have")
    position, last, result = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise IntegrityError("the inclusion proof is too long")
        if position & 1 or position == last:
            result = node_hash(sibling, result)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            result = node_hash(result, sibling)
        position >>= 1
        last >>= 1
    if last != 0 or result != expected:
        raise IntegrityError("the inclusion proof does not lead to the root of the checkpoint")


def verify_consistency(old: int, size: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """RFC 9162 section 2.1.4.2, and its trivial cases. Raises IntegrityError: not one log's trees."""
    if not 0 <= old <= size:
        raise IntegrityError("the older tree is the larger one")
    if old in {0, size}:
        known = EMPTY_ROOT if old == 0 else new_root
        if path or old_root != known:
            raise IntegrityError("the trees are not those of one log")
        return
    hashes = list(path) if old & (old - 1) else [old_root, *path]
    if not hashes:
        raise IntegrityError("the consistency proof is empty")
    position, last = old - 1, size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    first = second = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise IntegrityError("the consistency proof is too long")
        if position & 1 or position == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            second = node_hash(second, sibling)
        position >>= 1
        last >>= 1
    if last != 0 or first != old_root or second != new_root:
        raise IntegrityError("the consistency proof does not lead from one root to the other")


def _split(length: int) -> int:
    """The largest power of two below ``length`` (at least 2)."""
    return 1 << ((length - 1).bit_length() - 1)


def _range_root(nodes: Nodes, start: int, end: int) -> bytes:
    length = end - start
    if length & (length - 1) == 0:
        level = length.bit_length() - 1
        return nodes.node(level, start >> level)
    middle = start + _split(length)
    return node_hash(_range_root(nodes, start, middle), _range_root(nodes, middle, end))


def _path(nodes: Nodes, index: int, start: int, end: int) -> list[bytes]:
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if index < middle:
        return [*_path(nodes, index, start, middle), _range_root(nodes, middle, end)]
    return [*_path(nodes, index, middle, end), _range_root(nodes, start, middle)]


def _subproof(nodes: Nodes, old: int, start: int, end: int, *, whole: bool) -> list[bytes]:
    if old == end:
        return [] if whole else [_range_root(nodes, start, end)]
    middle = start + _split(end - start)
    if old <= middle:
        return [*_subproof(nodes, old, start, middle, whole=whole), _range_root(nodes, middle, end)]
    return [*_subproof(nodes, old, middle, end, whole=False), _range_root(nodes, start, middle)]
