"""The offline verifier finds every kind of change."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ronkms.audit.verify import Anchor, Report, verify_directory
from tests.unit.audit.log_files import leaf, make_lines, write_log

LINES = make_lines(12)
SEGMENTS = [LINES[:5], LINES[5:8], LINES[8:]]


def verify(directory: Path, segments: list[list[bytes]], anchor: Anchor | None = None) -> Report:
    write_log(directory, segments)
    return verify_directory(directory, anchor=anchor)


def test_a_whole_log(tmp_path: Path) -> None:
    report = verify(tmp_path, SEGMENTS)
    assert (report.good, report.records, report.segments, report.warnings) == (True, 12, 3, [])
    assert report.leaf == leaf(LINES[-1])
    assert report.first_time == "2026-11-24T20:00:00.000000Z"
    assert report.last_time == "2026-11-24T20:00:11.000011Z"


def test_a_log_without_records(tmp_path: Path) -> None:
    assert verify(tmp_path, [[]]).good


def test_an_empty_directory(tmp_path: Path) -> None:
    assert [finding.what for finding in verify_directory(tmp_path).problems] == ["holds no audit segment"]


@pytest.mark.parametrize(
    ("segments", "where", "what"),
    [
        ([LINES[:3] + LINES[4:]], "audit-00000001.jsonl:4", "removed"),
        ([[*LINES[:3], LINES[2], *LINES[3:]]], "audit-00000001.jsonl:4", "doubled"),
        ([[LINES[1], LINES[0], *LINES[2:]]], "audit-00000001.jsonl:1", "reordered"),
        ([LINES[:4], LINES[5:]], "audit-00000002.jsonl:1", "removed"),
        ([LINES[5:8], LINES[:5]], "audit-00000001.jsonl:1", "reordered"),
        (
            [[*LINES[:2], LINES[2].replace(b"orders-2", b"orders-9"), *LINES[3:]]],
            "audit-00000001.jsonl:4",
            "chain",
        ),
        ([[*LINES[:2], b"", *LINES[2:]]], "audit-00000001.jsonl:3", "not an audit record"),
        ([[*LINES[:2], b"not json"]], "audit-00000001.jsonl:3", "not an audit record"),
        ([[*LINES[:2], LINES[2][:-1] + b',"x":}']], "audit-00000001.jsonl:3", "not an audit record"),
        ([[*LINES[:2], LINES[2] + b" "]], "audit-00000001.jsonl:3", "not an audit record"),
    ],
)
def test_finds_changes(tmp_path: Path, segments: list[list[bytes]], where: str, what: str) -> None:
    problems = verify(tmp_path, segments).problems
    assert len(problems) == 1
    assert problems[0].where == where
    assert what in problems[0].what


def test_a_missing_segment(tmp_path: Path) -> None:
    write_log(tmp_path, SEGMENTS)
    (tmp_path / "audit-00000002.jsonl").unlink()
    assert "segment 2 is missing" in str(verify_directory(tmp_path).problems[0])


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_any_flipped_bit_but_in_the_last_record(
    position: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("log")
    data = bytearray(b"".join(line + b"\n" for line in LINES))
    data[position % (len(data) - len(LINES[-1]) - 1)] ^= 1 << bit
    (directory / "audit-00000001.jsonl").write_bytes(bytes(data))
    assert not verify_directory(directory).good


@pytest.mark.parametrize("cut", [1, 5, 60, 150])
def test_an_unfinished_end_is_a_warning(tmp_path: Path, cut: int) -> None:
    write_log(tmp_path, [LINES])
    path = tmp_path / "audit-00000001.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    report = verify_directory(tmp_path)
    assert (report.good, report.records, len(report.warnings)) == (True, 11, 1)


def test_archived_segments(tmp_path: Path) -> None:
    write_log(tmp_path, SEGMENTS)
    (tmp_path / "audit-00000001.jsonl").unlink()
    (problem,) = verify_directory(tmp_path).problems
    assert str(problem) == "audit-00000001.jsonl: is missing, and no record says that it was removed"
    report = verify_directory(tmp_path, archived=True)
    assert (report.good, report.first_record, report.records, report.segments) == (True, 5, 12, 2)
    (tmp_path / "audit-00000003.jsonl").rename(tmp_path / "audit-00000004.jsonl")
    assert "segment 3 is missing" in str(verify_directory(tmp_path, archived=True).problems[0])


def test_an_unfinished_record_in_the_middle_is_not(tmp_path: Path) -> None:
    write_log(tmp_path, SEGMENTS)
    path = tmp_path / "audit-00000001.jsonl"
    path.write_bytes(path.read_bytes()[:-3])
    assert not verify_directory(tmp_path).good


def test_an_endless_line_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "audit-00000001.jsonl").write_bytes(b"x" * (3 << 20))
    assert "not an audit record" in str(verify_directory(tmp_path).problems[0])


def test_an_anchor_shows_what_the_files_cannot(tmp_path: Path) -> None:
    anchor = Anchor(10, leaf(LINES[9]))
    assert verify(tmp_path, [LINES], anchor).good
    assert verify(tmp_path, [LINES[:10]], anchor).good
    cut = verify(tmp_path, [LINES[:9]], anchor)
    assert "the anchor knows 10" in str(cut.problems[0])
    rewritten = [line.replace(b"acme", b"evil") for line in LINES]
    prev = "0" * 64
    for index, line in enumerate(rewritten):
        rewritten[index] = (
            line[: line.index(b'"prev":"') + 8] + prev.encode() + line[line.index(b'","time"') :]
        )
        prev = leaf(rewritten[index])
    assert verify(tmp_path, [rewritten]).good
    assert "written anew" in str(verify(tmp_path, [rewritten], anchor).problems[0])


def test_a_clock_set_back_is_a_warning(tmp_path: Path) -> None:
    first = make_lines(1)[0]
    second = make_lines(1, start=1, prev=leaf(first))[0].replace(b"2026-11-24", b"2026-11-23")
    report = verify(tmp_path, [[first, second]])
    assert report.good
    assert "clock set back" in report.warnings[0].what


def test_torn_ends_are_mentioned(tmp_path: Path) -> None:
    (tmp_path / "audit-00000001.9.torn").write_bytes(b"{")
    assert [finding.where for finding in verify(tmp_path, SEGMENTS).warnings] == ["audit-00000001.9.torn"]
