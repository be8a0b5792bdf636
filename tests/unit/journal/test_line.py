from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronkms.journal.line import CHAIN_START, MAX_ENTRY, LineCodec, Position
from tests.fakes.custody import FakeCustody

START = Position(0, CHAIN_START)
CODEC = LineCodec("journal", FakeCustody().mac)

entries = st.binary(min_size=1, max_size=200).filter(lambda entry: b"\n" not in entry)


@given(st.lists(entries, min_size=1, max_size=5))
def test_a_chain_reads_back(chain: list[bytes]) -> None:
    written = read = START
    for entry in chain:
        line, written = CODEC.line(written, entry)
        parsed = CODEC.entry(read, line)
        assert parsed == (entry, written)
        read = parsed[1]
    assert read.seq == len(chain)


@given(entries, st.data())
def test_no_changed_byte_is_accepted(entry: bytes, data: st.DataObject) -> None:
    line, _ = CODEC.line(START, entry)
    at = data.draw(st.integers(0, len(line) - 1))
    mask = data.draw(st.integers(1, 255))
    changed = line[:at] + bytes([line[at] ^ mask]) + line[at + 1 :]
    assert CODEC.entry(START, changed) is None


@given(st.binary(max_size=300))
def test_no_other_bytes_are_accepted(line: bytes) -> None:
    assert CODEC.entry(START, line) is None
    assert CODEC.entry(None, line) is None
    assert CODEC.position(line) is None


def test_a_line_belongs_to_its_place_name_and_root_key() -> None:
    first, after_first = CODEC.line(START, b"1")
    second, _ = CODEC.line(after_first, b"2")
    assert CODEC.entry(START, second) is None
    assert CODEC.entry(after_first, first) is None
    assert CODEC.entry(Position(0, b"\1" * 32), first) is None
    assert LineCodec("other", FakeCustody().mac).entry(START, first) is None
    assert LineCodec("journal", FakeCustody(b"other").mac).entry(START, first) is None


def test_the_spelling_of_the_number_is_fixed() -> None:
    line, _ = CODEC.line(START, b"1")
    assert CODEC.entry(START, line.replace(b'"seq":1,', b'"seq":01,')) is None


@pytest.mark.parametrize("entry", [b"", b"a\nb", b"x" * (MAX_ENTRY + 1)])
def test_what_is_no_entry_is_not_framed(entry: bytes) -> None:
    with pytest.raises(ValueError, match="1 MiB without a newline"):
        CODEC.line(START, entry)


@given(st.integers(1, (1 << 64) - 1), st.binary(min_size=32, max_size=32), st.data())
def test_a_head_reads_back_and_no_changed_byte_does(seq: int, mac: bytes, data: st.DataObject) -> None:
    head = CODEC.head(Position(seq, mac))
    assert CODEC.position(head) == Position(seq, mac)
    at = data.draw(st.integers(0, len(head) - 1))
    changed = head[:at] + bytes([head[at] ^ data.draw(st.integers(1, 255))]) + head[at + 1 :]
    assert CODEC.position(changed) is None


def test_the_macs_in_the_journal_do_not_make_a_head() -> None:
    line, position = CODEC.line(START, b"1")
    mac = position.mac.hex()
    assert CODEC.position(f'{{"mac":"{mac}","seq":1,"seal":"{mac}"}}\n'.encode()) is None
    assert CODEC.position(line) is None
