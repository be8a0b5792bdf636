"""``follow_log`` takes what continues the chain, as its readable twin does, and nothing behind it."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ronkms_native import InputError, follow_log

FIRST = bytes(32)
RECORDS_MAX = 2**63 - 1
"""A log has no record of this number: what has used up its numbers is made up."""


def twin(data: bytes, record: int, leaf: bytes, limit: int) -> tuple[bytes, int]:
    leaves, length = b"", 0
    for line in data.split(b"\n")[:-1][:limit]:
        begins = b'{"seq":%d,"prev":"%s",' % (record, leaf.hex().encode())
        if record >= RECORDS_MAX or not line.startswith(begins):
            break
        leaf = sha256(b"\x00" + line).digest()
        leaves += leaf
        length += len(line) + 1
        record += 1
    return leaves, length


def log_of(bodies: list[bytes], record: int = 0, leaf: bytes = FIRST) -> bytes:
    lines = b""
    for number, body in enumerate(bodies, record):
        line = b'{"seq":%d,"prev":"%s","time":"now",%s' % (number, leaf.hex().encode(), body)
        leaf = sha256(b"\x00" + line).digest()
        lines += line + b"\n"
    return lines


BODIES = st.lists(st.binary(max_size=40).map(lambda body: body.replace(b"\n", b" ")), max_size=8)


@given(
    bodies=BODIES,
    record=st.sampled_from([0, 9, 10, RECORDS_MAX - 2, RECORDS_MAX]),
    leaf=st.binary(min_size=32, max_size=32),
    limit=st.integers(0, 9),
    place=st.floats(0, 1),
    edit=st.sampled_from(["none", "flip", "delete", "insert", "cut"]),
)
def test_it_is_its_twin_on_whole_and_damaged_logs(
    bodies: list[bytes], record: int, leaf: bytes, limit: int, place: float, edit: str
) -> None:
    data = log_of(bodies, record, leaf)
    at = int(place * max(len(data) - 1, 0))
    if data:
        damaged = bytearray(data)
        match edit:
            case "flip":
                damaged[at] ^= 1
            case "delete":
                del damaged[at]
            case "insert":
                damaged.insert(at, 0x0A)
            case "cut":
                del damaged[at:]
        data = bytes(damaged)
    assert follow_log(data, record, leaf, limit) == twin(data, record, leaf, limit)


def test_a_whole_log_is_taken_up_to_the_limit() -> None:
    data = log_of([b'"v":1}'] * 5)
    leaves, length = follow_log(data, 0, FIRST, 100)
    assert (len(leaves), length) == (5 * 32, len(data))
    first, behind = follow_log(data, 0, FIRST, 2)
    assert leaves.startswith(first)
    rest, end = follow_log(data[behind:], 2, first[-32:], 100)
    assert (first + rest, behind + end) == (leaves, length)
    assert follow_log(data, 1, FIRST, 100) == (b"", 0)
    assert follow_log(data[:-1], 0, FIRST, 100)[0] == leaves[:-32], "the last line is not whole"


def test_a_leaf_hash_has_32_bytes() -> None:
    with pytest.raises(InputError, match="32 bytes"):
        follow_log(b"", 0, b"", 1)
