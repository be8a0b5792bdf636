"""RFC 9162 trees and proofs, against the definitions written out naively."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronkms.audit import merkle
from ronkms.audit.frontier import Frontier
from ronkms.errors import IntegrityError

SIZES = st.integers(1, 70)


def leaf(number: int) -> bytes:
    return merkle.leaf_hash(b"record %d" % number)


def naive_root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


class NaiveNodes:
    def node(self, level: int, index: int) -> bytes:
        return naive_root([leaf(number) for number in range(index << level, (index + 1) << level)])


NODES = NaiveNodes()


def test_hashes_of_the_rfc_9162_examples() -> None:
    """The vectors of certificate-transparency's reference trees: leaves "", 00, 10."""
    leaves = [merkle.leaf_hash(bytes.fromhex(each)) for each in ("", "00", "10")]
    assert leaves[0].hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert naive_root(leaves).hex() == "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"


@given(SIZES)
def test_root(size: int) -> None:
    frontier = Frontier()
    for number in range(size):
        frontier.add(leaf(number))
    expected = naive_root([leaf(number) for number in range(size)])
    assert merkle.root(NODES, size) == frontier.root() == expected
    assert merkle.root(NODES, 0) == Frontier().root() == sha256(b"").digest()


@given(st.data(), SIZES)
def test_inclusion(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    path, root = merkle.inclusion_path(NODES, index, size), merkle.root(NODES, size)
    merkle.verify_inclusion(leaf(index), index, size, path, root)
    other = data.draw(st.integers(0, size - 1).filter(lambda each: each != index)) if size > 1 else index + 1
    wrong = [
        (leaf(index + 1), index, size, path),
        (leaf(index), other, size, path),
        (leaf(index), index, size, [*path, bytes(32)]),
        *[(leaf(index), index, size, path[:at] + path[at + 1 :]) for at in range(len(path))],
        *[(leaf(index), index, size, [*path[:at], bytes(32), *path[at + 1 :]]) for at in range(len(path))],
    ]
    for each in wrong:
        with pytest.raises(IntegrityError):
            merkle.verify_inclusion(*each, root)


@given(st.data(), SIZES)
def test_consistency(data: st.DataObject, size: int) -> None:
    old = data.draw(st.integers(0, size))
    path = merkle.consistency_path(NODES, old, size)
    old_root, root = merkle.root(NODES, old), merkle.root(NODES, size)
    merkle.verify_consistency(old, size, path, old_root, root)
    wrong = [
        (old, size, path, bytes(32), root),
        (old, size, [*path, bytes(32)], old_root, root),
        (size + 1, size, path, old_root, root),
        *[(old, size, path[:at] + path[at + 1 :], old_root, root) for at in range(len(path))],
        *[(old, size, [*path[:at], bytes(32), *path[at + 1 :]], old_root, root) for at in range(len(path))],
    ]
    if old:
        wrong.append((old, size, path, old_root, bytes(32)))
    for each in wrong:
        with pytest.raises(IntegrityError):
            merkle.verify_consistency(*each)


def test_paths_of_what_is_not_there() -> None:
    with pytest.raises(ValueError, match="no such leaf"):
        merkle.inclusion_path(NODES, 3, 3)
    with pytest.raises(ValueError, match="larger"):
        merkle.consistency_path(NODES, 4, 3)
