"""Following the log, checkpoints, what is found at the start and while running, proofs."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import msgspec
import pytest
from ronkms_native import Custody

from ronkms.audit import tree_files
from ronkms.audit.checkpoint import verify_checkpoint
from ronkms.audit.checkpoint_files import CheckpointFiles
from ronkms.audit.checkpointer import Checkpointer
from ronkms.audit.follower import LogFollower
from ronkms.audit.log_keys import LogSigner
from ronkms.audit.proof import prove_consistency, prove_inclusion, verify_proof
from ronkms.audit.recheck import LogRecheck
from ronkms.audit.retention_state import Removed, write_removed
from ronkms.audit.tree_state import check_log
from ronkms.audit.verify import verify_directory
from ronkms.audit.verify_checkpoints import KeptNote
from ronkms.errors import BadRequest, IntegrityError
from ronkms.journal.durable_file import write_at
from tests.unit.audit.log_files import leaf, make_lines, write_log

LINES = make_lines(60)
CUSTODY = Custody.create("dev", None)[0]


class FixedLog:
    def __init__(self, durable: int) -> None:
        self.durable = durable

    @property
    def head(self) -> tuple[int, str]:
        return self.durable, leaf(LINES[self.durable - 1])

    def wait_durable(self, seq: int) -> None:
        assert seq < self.durable


class Log:
    """A directory whose log grows, and the failures that were counted."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = FixedLog(0)
        self.failures: list[int] = []
        self.announced: list[int] = []

    def grow(self, records: int) -> None:
        write_log(self.directory, [LINES[: min(records, 20)], LINES[20:records]][: 1 + (records > 20)])
        self.log.durable = records

    def checkpointer(self) -> Checkpointer:
        return Checkpointer(
            self.directory,
            log=self.log,
            signer=LogSigner(self.directory, CUSTODY),
            wanted=lambda: 0,
            announce=lambda: self.announced.append(1),
            count_failure=lambda: self.failures.append(1),
        )

    def recheck(self) -> LogRecheck:
        return LogRecheck(self.directory, lambda: self.failures.append(1))

    def newest_size(self) -> int:
        files = CheckpointFiles(self.directory)
        return verify_checkpoint(files.latest(), LogSigner(self.directory, CUSTODY).keys).checkpoint.size

    def check(self, records: int) -> None:
        check_log(self.directory, records, leaf(LINES[records - 1]))


@pytest.fixture
def log(tmp_path: Path) -> Log:
    made = Log(tmp_path)
    made.grow(5)
    return made


def test_follows_over_segments_and_restarts(log: Log) -> None:
    for records in (5, 19, 20, 21, 45):
        log.grow(records)
        checkpointer = log.checkpointer()
        checkpointer.step()
        assert log.newest_size() == records
        checkpointer.stop()
        log.check(records)
    assert len(log.announced) == 5
    report = verify_directory(log.directory)
    assert (report.good, report.checkpoints) == (True, 6)


def test_only_durable_records_are_signed(log: Log) -> None:
    log.grow(10)
    log.log.durable = 7
    checkpointer = log.checkpointer()
    checkpointer.step()
    assert log.newest_size() == 7
    checkpointer.stop()


def test_nothing_new_signs_nothing(log: Log) -> None:
    checkpointer = log.checkpointer()
    checkpointer.step()
    checkpointer.step()
    assert len(log.announced) == 1
    checkpointer.stop()


def signed(log: Log, records: int) -> None:
    log.grow(records)
    checkpointer = log.checkpointer()
    checkpointer.step()
    checkpointer.stop()


def test_a_rolled_back_log_stops_the_start(log: Log) -> None:
    signed(log, 45)
    (log.directory / "audit-00000002.jsonl").unlink()
    with pytest.raises(IntegrityError, match="20 records, its newest checkpoint 45"):
        log.check(20)


def test_a_log_written_anew_stops_the_start(log: Log) -> None:
    signed(log, 45)
    other = make_lines(50, prev="1" * 64)
    write_log(log.directory, [other])
    with pytest.raises(IntegrityError, match="record 45 is not in the segments"):
        check_log(log.directory, 50, leaf(other[-1]))
    (log.directory / "audit-00000002.jsonl").unlink()
    with pytest.raises(IntegrityError, match="does not continue"):
        check_log(log.directory, 50, leaf(other[-1]))
    shutil.rmtree(log.directory / "tree")
    with pytest.raises(IntegrityError):
        check_log(log.directory, 50, leaf(other[-1]))


@pytest.mark.parametrize("gone", ["checkpoints/latest", "log-keys.json"])
def test_missing_files_stop_the_start(log: Log, gone: str) -> None:
    signed(log, 45)
    (log.directory / gone).unlink()
    with pytest.raises(IntegrityError, match="removed"):
        log.check(45)
    assert not verify_directory(log.directory).good or gone == "checkpoints/latest"


def test_a_forged_checkpoint_stops_the_start(log: Log) -> None:
    signed(log, 45)
    latest = log.directory / "checkpoints" / "latest"
    latest.write_text(latest.read_text().replace("\n45\n", "\n44\n"))
    with pytest.raises(IntegrityError, match="signature"):
        log.check(45)


@pytest.mark.parametrize("damage", ["gone", "leaves", "nodes", "short"])
def test_a_damaged_tree_is_made_again(log: Log, damage: str) -> None:
    signed(log, 45)
    tree = log.directory / "tree"
    if damage == "gone":
        shutil.rmtree(tree)
    elif damage == "leaves":
        (tree / "level-00").write_bytes(bytes(45 * 32))
    elif damage == "nodes":
        (tree / "level-02").write_bytes(bytes(11 * 32))
        (tree / "level-05").write_bytes(bytes(32))
    else:
        (tree / "level-00").write_bytes((tree / "level-00").read_bytes()[:-40])
    log.check(45)
    signed(log, 60)
    assert verify_directory(log.directory).good


def test_a_changed_record_is_not_signed(log: Log) -> None:
    checkpointer = log.checkpointer()
    checkpointer.step()
    changed = [*LINES[:7], LINES[7].replace(b"orders-7", b"orders-8"), *LINES[8:10]]
    write_log(log.directory, [changed])
    log.log.durable = 10
    with pytest.raises(IntegrityError, match=r"audit-00000001.jsonl at byte .* record 8 is due"):
        checkpointer.step()
    checkpointer.stop()
    assert log.failures
    assert "no checkpoints" in checkpointer.missing()[0]
    assert log.newest_size() == 5


def test_a_cut_log_is_noticed(log: Log) -> None:
    checkpointer = log.checkpointer()
    log.log.durable = 9
    with pytest.raises(IntegrityError, match="5 of 9"):
        checkpointer.step()


@pytest.mark.parametrize("fails_at", range(1, 5))
def test_a_full_disk_under_the_tree_changes_no_root(
    log: Log, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    checkpointer = log.checkpointer()
    checkpointer.step()
    writes = 0

    def write_a_part(descriptor: int, data: bytes, offset: int) -> None:
        nonlocal writes
        writes += 1
        if writes == fails_at:
            os.pwrite(descriptor, data[:40], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_at(descriptor, data, offset)

    monkeypatch.setattr(tree_files, "write_at", write_a_part)
    log.grow(45)
    with pytest.raises(OSError, match="No space"):
        checkpointer.step()
    assert log.newest_size() == 5
    log.grow(60)
    checkpointer.step()
    assert log.newest_size() == 60
    checkpointer.stop()
    log.check(60)
    assert verify_directory(log.directory).good
    assert not log.failures


def test_the_recheck_finds_later_changes(log: Log) -> None:
    signed(log, 45)
    recheck = log.recheck()
    for _ in range(6):
        recheck.turn()
    assert not recheck.faults
    first = log.directory / "audit-00000001.jsonl"
    first.write_bytes(first.read_bytes().replace(b"orders-3", b"orders-4"))
    for _ in range(12):
        recheck.turn()
    assert len(log.failures) == len(recheck.faults) == 1
    assert "record 4 is due" in next(iter(recheck.faults))


def test_the_recheck_finds_a_fork(log: Log) -> None:
    """Consistent in itself, but not what was recorded."""
    signed(log, 45)
    other = make_lines(45, prev="0" * 64)
    changed = [*other[:-1], other[-1].replace(b"orders-44", b"orders-45")]
    write_log(log.directory, [changed[:20], changed[20:]])
    recheck = log.recheck()
    for _ in range(6):
        recheck.turn()
    assert recheck.faults == {"record 44 in audit-00000002.jsonl was changed after it was written"}


def test_keys_rotate_with_checkpoints_of_both(log: Log) -> None:
    log.grow(10)
    checkpointer = log.checkpointer()
    checkpointer.step()
    old = checkpointer.keys
    new = checkpointer.rotate_keys()
    checkpointer.stop()
    notes = CheckpointFiles(log.directory).history()
    verify_checkpoint(notes[0].note, old)
    verify_checkpoint(notes[-1].note, new)
    assert verify_directory(log.directory).good
    assert not verify_directory(log.directory, keys=new).good, "the older ones are not by these keys"


def test_a_torn_history_is_cut(log: Log) -> None:
    signed(log, 10)
    history = log.directory / "checkpoints" / "history"
    whole = history.read_bytes()
    for cut in (1, 2, 5, 100, len(whole) - 1):
        history.write_bytes(whole + whole[:cut])
        assert len(CheckpointFiles(log.directory).history()) == 1
    signed(log, 20)
    assert len(CheckpointFiles(log.directory).history()) == 2
    history.write_bytes(b"x" + whole)
    assert not verify_directory(log.directory).good


def test_an_old_history_is_thinned_and_everything_still_holds(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = 86400
    now = 1_800_000_000 // day * day
    history = log.directory / "checkpoints" / "history"
    for number in range(20):
        # Ten a day, two days long.
        monkeypatch.setattr("time.time", lambda at=now + number // 10 * day + number % 10 * 60: float(at))
        log.grow(6 + number)
        checkpointer = log.checkpointer()
        if number == 13:
            checkpointer.step()
            checkpointer.rotate_keys()
        checkpointer.step(history=True)
        checkpointer.stop()
    files = CheckpointFiles(log.directory)
    before = len(files.history())
    history.write_bytes(history.read_bytes() + b"12")
    assert files.thin_history(now=now + 100 * day, retention_days=50) == before - 4
    kept = [verify_checkpoint(each.note, checkpointer.keys).checkpoint.size for each in files.history()]
    assert kept == [15, 19, 19, 25], "the last of the first day, the keys' change, the last"
    assert files.thin_history(now=now + 100 * day, retention_days=50) == 0
    log.grow(40)
    checkpointer = log.checkpointer()
    checkpointer.step(history=True)
    checkpointer.stop()
    assert len(files.history()) == 5
    assert not (log.directory / "checkpoints" / "history.tmp").exists()
    report = verify_directory(log.directory)
    assert (report.good, report.checkpoints) == (True, 6)
    proof = prove_consistency(log.directory, 3, 40)
    assert verify_proof(msgspec.json.encode(proof), checkpointer.keys)
    history.write_bytes(b"x" + history.read_bytes())
    with pytest.raises(IntegrityError, match="no note at byte 0"):
        files.thin_history(now=now + 200 * day, retention_days=50)


@pytest.mark.parametrize("record", [0, 19, 20, 44])
def test_inclusion_proofs(log: Log, record: int) -> None:
    signed(log, 45)
    keys = LogSigner(log.directory, CUSTODY).keys
    document = msgspec.json.encode(prove_inclusion(log.directory, record))
    assert f"record {record} is in" in verify_proof(document, keys)
    for old, new in ((b"orders-", b"Orders-"), (b'"index":', b'"index":1'), (b'"size":45', b'"size":46')):
        with pytest.raises(IntegrityError):
            verify_proof(document.replace(old, new), keys)
    with pytest.raises(IntegrityError, match="known key"):
        verify_proof(document, [])
    with pytest.raises(BadRequest, match="0 to 44"):
        prove_inclusion(log.directory, 45)


@pytest.mark.parametrize(("old", "size"), [(0, 45), (7, 45), (7, 30), (32, 45), (45, 45)])
def test_consistency_proofs(log: Log, old: int, size: int) -> None:
    signed(log, 45)
    keys = LogSigner(log.directory, CUSTODY).keys
    document = msgspec.json.encode(prove_consistency(log.directory, old, size))
    assert f"{size} records continues that of {old}" in verify_proof(document, keys)
    other = msgspec.json.decode(document)
    other["to_root"] = other["from_root"] if old != size else "A" * 43 + "="
    with pytest.raises(IntegrityError):
        verify_proof(msgspec.json.encode(other), keys)
    with pytest.raises(BadRequest):
        prove_consistency(log.directory, size, 46)


@pytest.mark.parametrize("document", [b"", b"{}", b'{"v":2,"kind":"inclusion"}', b'{"v":1,"kind":"x"}'])
def test_no_proof(document: bytes) -> None:
    with pytest.raises(IntegrityError):
        verify_proof(document, [])


def test_a_kept_checkpoint_shows_a_roll_back_of_the_directory(
    log: Log, tmp_path_factory: pytest.TempPathFactory
) -> None:
    signed(log, 30)
    older = tmp_path_factory.mktemp("copy") / "audit"
    shutil.copytree(log.directory, older)
    signed(log, 45)
    kept = KeptNote("kept", CheckpointFiles(log.directory).latest())
    assert verify_directory(log.directory, kept=[kept]).good
    assert verify_directory(older).good, "consistent in itself"
    assert [str(each) for each in verify_directory(older, kept=[kept]).problems] == [
        "kept: is of 45 records, the log has 30 unbroken: cut off or rolled back"
    ]


def test_archived_segments_are_proven_by_the_tree(log: Log) -> None:
    signed(log, 45)
    (log.directory / "audit-00000001.jsonl").unlink()
    report = verify_directory(log.directory, archived=True)
    assert (report.good, report.checkpoints, report.first_record) == (True, 2, 20)
    with pytest.raises(IntegrityError, match=r"audit-00000001\.jsonl is missing"):
        log.check(45)
    write_removed(log.directory, Removed(segments=1, records=20, record=30))
    log.check(45)
    recheck = log.recheck()
    for _ in range(4):
        recheck.turn()
    assert not recheck.faults


def test_a_follower_needs_its_records(log: Log) -> None:
    signed(log, 45)
    (log.directory / "audit-00000001.jsonl").unlink()
    with pytest.raises(IntegrityError, match="in a segment that left"):
        LogFollower(log.directory)
