"""``parent_hashes`` makes the level above as its readable twin does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from ronkms_native import parent_hashes

from ronkms.audit.merkle import node_hash


def twin(hashes: list[bytes]) -> bytes:
    return b"".join(node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=False))


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=9))
def test_it_is_its_twin(hashes: list[bytes]) -> None:
    assert parent_hashes(b"".join(hashes)) == twin(hashes)


def test_a_last_one_without_a_neighbour_has_no_parent() -> None:
    assert parent_hashes(bytes(32)) == b""
    assert parent_hashes(bytes(96)) == node_hash(bytes(32), bytes(32))
