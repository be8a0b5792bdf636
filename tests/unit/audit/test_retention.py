"""What leaves the directory of a log, when, and what still proves it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ronkms_native import Custody

from ronkms.audit import verify
from ronkms.audit.export import Selection, export_directory
from ronkms.audit.follower import LogFollower, first_record, line_of
from ronkms.audit.log_keys import LogSigner
from ronkms.audit.proof import prove_consistency, prove_inclusion, verify_proof
from ronkms.audit.recheck import LogRecheck
from ronkms.audit.retention_state import Removed, check_present, read_removed, write_removed
from ronkms.audit.segment_ends import first_of, last_of
from ronkms.audit.segments import (
    Line,
    Segment,
    lines_of,
    list_segments,
    list_torn,
    segment_name,
    segment_number,
    torn_of,
)
from ronkms.audit.sinks.position import Position, PositionFile, needed_segment
from ronkms.audit.tree_state import check_log
from ronkms.audit.verify import verify_directory
from ronkms.audit.verify_removals import RecordedRemovals
from ronkms.errors import AuditUnavailable, IntegrityError
from tests.unit.audit.retention_parts import RetainedLog

CUSTODY = Custody.create("dev", None)[0]


@pytest.fixture
def retained(tmp_path: Path) -> RetainedLog:
    directory = tmp_path / "audit"
    directory.mkdir(mode=0o700)
    return RetainedLog(directory, CUSTODY)


def records(directory: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line) for each in list_segments(directory) for line in each.path.read_bytes().splitlines()
    ]


@given(st.integers(1, 10**12))
def test_names_of_segments_lead_back(number: int) -> None:
    assert segment_number(segment_name(number)) == number


@given(st.text(max_size=30) | st.from_regex(r"audit-[0-9]{1,12}\.jsonl", fullmatch=True))
def test_a_number_has_one_name(name: str) -> None:
    number = segment_number(name)
    assert number is None or segment_name(number) == name


@pytest.mark.parametrize("with_archive", [True, False])
def test_segments_that_leave_while_they_are_verified(
    retained: RetainedLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_archive: bool
) -> None:
    retained.fill(6)
    archive = tmp_path / "archive"
    retention = retained.retention(days=30, archive=archive)
    retention.turn()
    retention.turn()
    retained.age(31)
    retention.turn()
    retained.checkpointer.step(history=True)
    read = []

    def interrupted(segment: Segment) -> Iterator[Line]:
        read.append(segment)
        if len(read) == 2:
            assert retention.turn().removed == 4
        return lines_of(segment)

    monkeypatch.setattr(verify, "lines_of", interrupted)
    report = verify_directory(retained.directory, archive=archive if with_archive else None)
    assert report.good, report.problems
    assert retained.numbers == [5, 6, 7]
    assert report.first_record == 0 if with_archive else report.first_record > 0
    assert len(read) == (7 if with_archive else 5), "from the archive, or anew"
    exported = b"".join(export_directory(retained.directory, "jsonl", Selection(), archive))
    assert exported.count(b"\n") == report.records


def test_old_segments_leave_and_the_rest_proves_them(retained: RetainedLog, tmp_path: Path) -> None:
    retained.fill(5)
    before = records(retained.directory)
    archive = tmp_path / "archive"
    retention = retained.retention(days=30, archive=archive)
    assert [retention.turn() for _ in range(3)] == [(4, 0, False), (1, 0, False), (0, 0, False)]
    assert [each.number for each in list_segments(archive)] == [1, 2, 3, 4, 5]
    retained.age(31)
    retention.turn()
    assert retained.numbers == [1, 2, 3, 4, 5, 6], "the record of the removal is under no checkpoint yet"
    retention.turn()
    assert retained.numbers == [1, 2, 3, 4, 5, 6]
    retained.checkpointer.step()
    assert retention.turn().removed == 4
    assert retained.numbers == [5, 6]
    first, _ = first_record(retained.directory)
    (record,) = [each for each in records(retained.directory) if each["op"] == "retention"]
    assert record["retention"] == {"segments": 4, "records": first, "archived": True}
    assert read_removed(retained.directory) == Removed(segments=4, records=first, record=record["seq"])

    report = verify_directory(retained.directory)
    assert (report.good, report.first_record, report.segments) == (True, first, 2)
    assert report.checkpoints == 2
    assert f"records 0 to {first - 1} have left" in str(report.warnings)
    report = verify_directory(retained.directory, archive=archive)
    assert (report.good, report.first_record, report.segments) == (True, 0, 6)
    check_log(retained.directory, *retained.log.head)
    recheck = LogRecheck(retained.directory, lambda: pytest.fail("the log is good"))
    for _ in range(4):
        recheck.turn()

    proof = prove_inclusion(retained.directory, 3, archive=archive)
    assert "record 3 is in" in verify_proof(msgspec.json.encode(proof), retained.signer.keys)
    with pytest.raises(IntegrityError, match="not in the segments here"):
        prove_inclusion(retained.directory, 3)
    consistency = prove_consistency(retained.directory, 2, first + 1)
    assert "continues that of 2" in verify_proof(msgspec.json.encode(consistency), retained.signer.keys)
    exported = export_directory(retained.directory, "jsonl", Selection(), archive)
    assert [json.loads(line) for line in exported][: len(before)] == before
    assert line_of(retained.directory, 0, archive) == line_of(archive, 0)
    follower = LogFollower(retained.directory, archive=archive)
    end = retained.log.head[0]
    count = 0
    while leaves := follower.read(end):
        count += len(leaves) // 32
    assert count == end


def test_a_lost_tree_is_made_again_from_the_archive(retained: RetainedLog, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    remove(retained, archive)
    for path in (retained.directory / "tree").iterdir():
        path.unlink()
    with pytest.raises(IntegrityError, match="in a segment that left"):
        check_log(retained.directory, *retained.log.head)
    check_log(retained.directory, *retained.log.head, archive=archive)
    assert verify_directory(retained.directory).good


def remove(retained: RetainedLog, archive: Path | None) -> None:
    """Segments 1 to 3 of 5 leave."""
    retained.fill(5 - len(retained.numbers))
    retained.age(31)
    retention = retained.retention(archive=archive)
    retention.turn()
    retained.checkpointer.step()
    assert retention.turn().removed == 3
    assert retained.numbers == [4, 5]


def test_without_an_archive_they_are_gone_and_still_proven(retained: RetainedLog) -> None:
    remove(retained, None)
    report = verify_directory(retained.directory)
    assert (report.good, report.checkpoints) == (True, 2)
    assert records(retained.directory)[-1]["retention"]["archived"] is False


def test_checkpoints_over_what_left_are_proven_by_its_hashes(retained: RetainedLog) -> None:
    retained.fill(1)
    remove(retained, None)
    assert verify_directory(retained.directory).checkpoints == 3
    level = retained.directory / "tree" / "level-00"
    leaves = bytearray(level.read_bytes())
    leaves[40] ^= 1
    level.write_bytes(leaves)
    problems = verify_directory(retained.directory).problems
    assert len(problems) == 3
    assert all("its root is not that" in str(problem) for problem in problems)


def test_what_is_not_under_a_checkpoint_stays(retained: RetainedLog, tmp_path: Path) -> None:
    retained.fill(2)
    retained.fill(3, sign=False)
    retained.age(31)
    retention = retained.retention(archive=tmp_path / "archive")
    retention.turn()
    assert [each.number for each in list_segments(tmp_path / "archive")] == [1, 2]
    assert read_removed(retained.directory).segments == 2
    retention.turn()
    assert retained.numbers == [1, 2, 3, 4, 5, 6]


def test_young_needed_and_newest_segments_stay(retained: RetainedLog) -> None:
    retained.fill(5)
    retained.retention(days=30).turn()
    assert read_removed(retained.directory).segments == 0
    retained.age(31)
    retained.retention(days=0).turn()
    assert read_removed(retained.directory).segments == 0

    def unreadable() -> int:
        raise OSError(5, "Input/output error")

    for needed in ([unreadable], [lambda: 9, lambda: 0], [lambda: 1]):
        retained.retention(needed=needed).turn()
        assert read_removed(retained.directory).segments == 0
    retained.retention(needed=[lambda: 9, lambda: 3]).turn()
    assert read_removed(retained.directory).segments == 2
    retained.checkpointer.step()
    retained.retention().turn()
    assert retained.numbers == [3, 4, 5, 6]
    retained.retention().turn()
    retained.checkpointer.step()
    retained.retention().turn()
    assert retained.numbers == [5, 6]
    for _ in range(3):
        retained.checkpointer.step()
        retained.retention().turn()
    assert retained.numbers == [5, 6]


def test_a_sink_holds_what_it_has_not_delivered(retained: RetainedLog) -> None:
    retained.fill(4)
    heads = [first_of(segment.path) for segment in list_segments(retained.directory)]
    starts = [head.seq for head in heads if head is not None]
    assert needed_segment(retained.directory, []) == 5
    assert needed_segment(retained.directory, ["new"]) == 1
    for record, segment in ((0, 1), (starts[1] - 1, 1), (starts[1], 2), (starts[3] + 1, 4), (10**6, 5)):
        PositionFile(retained.directory, "slow").save(Position(record, "00" * 32))
        PositionFile(retained.directory, "fast").save(Position(record + 5, "00" * 32))
        assert needed_segment(retained.directory, ["fast", "slow"]) == segment


def test_segments_are_ended_by_age(retained: RetainedLog, tmp_path: Path) -> None:
    retention = retained.retention(days=0, seconds=3600, archive=tmp_path / "archive")
    retained.age(1)
    retention.turn()
    assert retained.numbers == [1], "an empty segment is used on"
    retained.log.append(b'"v":1,"op":"sign","outcome":"ok","tenant":"","token":"","corr_id":""}')
    retained.later = 3000
    retention.turn()
    assert retained.numbers == [1]
    retained.later = 3700
    retention.turn()
    retention.turn()
    assert retained.numbers == [1, 2]
    assert not (tmp_path / "archive").exists()
    retained.checkpointer.step()
    assert retention.turn().copied == 1, "nothing stands behind it, and it is whole"
    assert verify_directory(retained.directory, archive=tmp_path / "archive").good


def test_a_damaged_copy_keeps_the_segment(retained: RetainedLog, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    retained.fill(4)
    retention = retained.retention(archive=archive)
    retention.turn()
    copy = archive / segment_name(2)
    copy.chmod(0o600)
    content = copy.read_bytes()
    copy.write_bytes(content.replace(b"acme", b"evil", 1))
    retained.age(31)
    assert retention.turn().failed
    assert read_removed(retained.directory).segments == 0
    (problem,) = verify_directory(retained.directory, archive=archive).problems
    assert problem.where == segment_name(2)
    copy.write_bytes(content)
    assert not retention.turn().failed
    assert read_removed(retained.directory).segments == 3


def test_an_archive_is_of_one_log_and_elsewhere(retained: RetainedLog, tmp_path: Path) -> None:
    retained.fill(3)
    other = tmp_path / "other"
    other.mkdir()
    (other / "origin").write_text(LogSigner(other, CUSTODY).origin + "\n")
    assert retained.retention(archive=other).turn().failed
    assert retained.retention(archive=tmp_path / "no" / "such").turn().failed
    retained.age(31)
    assert retained.retention(archive=retained.directory).turn().failed
    assert retained.numbers == [1, 2, 3, 4]
    assert read_removed(retained.directory).segments == 0


def test_a_log_that_cannot_be_written_lets_nothing_leave(
    retained: RetainedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise AuditUnavailable("the audit log cannot be written")

    retained.fill(4)
    retained.age(31)
    monkeypatch.setattr(retained.trail, "record_removal", full)
    assert not retained.retention().turn().failed
    assert read_removed(retained.directory).segments == 0


def test_torn_ends_go_with_their_segment(retained: RetainedLog, tmp_path: Path) -> None:
    for name in ("audit-00000001.77.torn", "audit-00000001.77.1.torn", "audit-00000005.9.torn"):
        (retained.directory / name).write_bytes(b"torn")
    assert len(torn_of(retained.directory, 1)) == 2
    remove(retained, tmp_path / "archive")
    assert [path.name for path in list_torn(retained.directory)] == ["audit-00000005.9.torn"]
    assert len(list_torn(tmp_path / "archive")) == 2
    assert len(verify_directory(retained.directory, archive=tmp_path / "archive").warnings) == 4


def test_a_segment_that_nobody_removed_is_missed(retained: RetainedLog) -> None:
    remove(retained, None)
    retained.fill(2)
    check_present(retained.directory)
    (retained.directory / segment_name(4)).rename(retained.directory / "elsewhere")
    with pytest.raises(IntegrityError, match=r"audit-00000004\.jsonl is missing"):
        check_log(retained.directory, *retained.log.head)
    faults: list[int] = []
    recheck = LogRecheck(retained.directory, lambda: faults.append(1))
    recheck.turn()
    assert len(faults) == 1
    assert [str(each) for each in verify_directory(retained.directory).problems] == [
        "audit-00000004.jsonl: is missing, and no record says that it was removed"
    ]
    write_removed(retained.directory, Removed(segments=4, records=1, record=1))
    assert verify_directory(retained.directory).problems, "the state file proves nothing"
    (retained.directory / "elsewhere").rename(retained.directory / segment_name(4))
    (retained.directory / segment_name(5)).unlink()
    with pytest.raises(IntegrityError, match=r"audit-00000005\.jsonl is missing"):
        check_present(retained.directory)


def test_a_recheck_whose_segment_left_begins_anew(retained: RetainedLog) -> None:
    retained.fill(4)
    recheck = LogRecheck(retained.directory, lambda: pytest.fail("the log is good"))
    recheck.turn()
    recheck._follower = LogFollower(
        retained.directory, 2, bytes.fromhex(records(retained.directory)[2]["prev"])
    )
    retained.age(31)
    retention = retained.retention()
    retention.turn()
    retained.checkpointer.step()
    retention.turn()
    for _ in range(4):
        recheck.turn()
    assert not recheck.faults


def test_the_damaged_state_stops_the_start(retained: RetainedLog) -> None:
    for content in ("{", '{"v":2}', '{"v":1,"segments":-1}', '{"v":1,"more":1}'):
        (retained.directory / "retention.json").write_text(content)
        with pytest.raises(IntegrityError, match=r"retention\.json"):
            check_present(retained.directory)


def test_ends_of_segments(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    path.write_bytes(b"")
    assert first_of(path) is None
    assert last_of(path) is None
    line = b'{"seq":%d,"prev":"","time":"2026-11-24T20:26:58.500000Z"}\n'
    path.write_bytes(line % 7 + line % 8 + b'{"seq":9,"ti')
    first, last = first_of(path), last_of(path)
    assert first is not None
    assert last is not None
    assert (first.seq, last.seq, first.time) == (7, 8, 1795552018.5)
    for damaged in (b"x\n", b'{"seq":7,"time":"never"}\n', b"\xff\n"):
        path.write_bytes(damaged)
        with pytest.raises(IntegrityError):
            first_of(path)


def removal(seq: int, segments: object, count: object, archived: object = True) -> dict[str, object]:
    return {
        "seq": seq,
        "op": "retention",
        "retention": {"segments": segments, "records": count, "archived": archived},
    }


def test_recorded_removals() -> None:
    removals = RecordedRemovals()
    assert removals.fault({"seq": 1, "op": "sign"}) == ""
    assert removals.missing(3, 40, 100) is not None
    assert removals.fault(removal(50, 2, 40)) == ""
    assert removals.missing(3, 40, 51) is None
    assert removals.missing(2, 20, 51) is None, "a removal that a crash interrupted"
    assert "says that 40" in str(removals.missing(3, 41, 51))
    assert "under no checkpoint" in str(removals.missing(3, 40, 50))
    assert str(removals.missing(4, 60, 51)).startswith("audit-00000003.jsonl: is missing")
    assert removals.fault(removal(55, 3, 50)) == ""
    assert removals.missing(3, 40, 51) is None, "the next removal waits for its checkpoint"
    assert "record 55" in str(removals.missing(4, 50, 51))
    for wrong in (
        removal(60, 1, 40),
        removal(60, 3, 61),
        removal(60, "3", 5),
        {"seq": 60, "op": "retention"},
    ):
        assert RecordedRemovals().fault(wrong) or removals.fault(wrong)
