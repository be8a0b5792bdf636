"""``alike_records`` groups records of one second that say the same, as its readable twin does."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from ronkms_native import alike_records


def split(line: bytes) -> tuple[bytes, tuple[bytes, bytes, bytes]] | None:
    """(second, what else is compared)"""
    _, found, time = line.partition(b'"time":"')
    head = time.partition(b'"')[2]
    before_corr_id, has_corr_id, corr_id = head.partition(b',"corr_id":"')
    middle = corr_id.partition(b'"')[2]
    before_digest, has_digest, digest = middle.partition(b',"digest":"')
    _, closed, tail = digest.partition(b'"')
    if not (found and has_corr_id and has_digest and closed):
        return None
    return time[:19], (before_corr_id, before_digest, tail)


def twin(lines: bytes) -> list[tuple[bytes, int]]:
    groups: list[tuple[bytes, int]] = []
    known: dict[tuple[bytes, bytes, bytes], int] = {}
    present = b""
    for line in lines.split(b"\n")[:-1]:
        found = split(line)
        if found is None:
            known.clear()
            groups.append((line, 1))
            continue
        second, same = found
        if second != present:
            known.clear()
            present = second
        at = known.setdefault(same, len(groups))
        if at == len(groups):
            groups.append((line, 1))
        else:
            first, times = groups[at]
            groups[at] = (first, times + 1)
    return groups


TEXTS = st.sampled_from(["a", "b", "", '"', "\\", '","corr_id":"', '{"time":"', 'a","digest":"', "x" * 70])
RECORDS = st.fixed_dictionaries(
    {
        "time": st.sampled_from(
            ["2026-11-28T07:00:00.000001Z", "2026-11-28T07:00:00.9Z", "2026-11-28T07:00:01.0Z"]
        ),
        "tenant": TEXTS,
    },
    optional={"corr_id": TEXTS, "key_version": st.integers(1, 2), "digest": TEXTS, "detail": TEXTS},
)


def line(seq: int, fields: object) -> bytes:
    assert isinstance(fields, dict)
    return json.dumps({"seq": seq, "prev": "0" * 64} | fields, separators=(",", ":")).encode() + b"\n"


@given(st.lists(RECORDS, max_size=30))
def test_it_is_its_twin_on_records(records: list[object]) -> None:
    lines = b"".join(line(seq, fields) for seq, fields in enumerate(records))
    found = alike_records(lines)
    assert found == twin(lines)
    assert sum(times for _, times in found) == len(records)


@given(
    st.lists(RECORDS, max_size=6),
    st.integers(min_value=0),
    st.sampled_from([b"", b"\n", b'"', b"\x00", b"}"]),
)
def test_it_counts_each_line_of_a_damaged_log_once(records: list[object], place: int, put: bytes) -> None:
    lines = b"".join(line(seq, fields) for seq, fields in enumerate(records))
    at = place % (len(lines) + 1)
    damaged = lines[:at] + put + lines[at + 1 :]
    found = alike_records(damaged)
    whole = damaged.split(b"\n")
    assert sum(times for _, times in found) == len(whole) - (whole[-1] == b"")
    assert {first for first, _ in found} <= set(whole)


def test_alike_records_of_a_second_are_one_group() -> None:
    record = {"time": "2026-11-28T07:00:00.1Z", "op": "sign", "corr_id": "a", "key_id": "k", "digest": "0"}
    others = [
        record | {"corr_id": "b", "digest": "1"},
        record | {"time": "2026-11-28T07:00:00.2Z"},
        record | {"key_id": "l"},
        record | {"time": "2026-11-28T07:00:01.0Z"},
    ]
    lines = [line(seq, fields) for seq, fields in enumerate([record, *others])]
    assert alike_records(b"".join(lines)) == [
        (lines[at][:-1], times) for at, times in ((0, 3), (3, 1), (4, 1))
    ]
