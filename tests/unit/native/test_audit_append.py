"""The native audit log's Python contract; torn tails and tampering are tested in Rust."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path

import pytest
from ronkms_native import AuditDamaged, AuditLog, AuditWriteError, InputError

from tests.eventually import eventually
from tests.unit.native.arenas import make_arena
from tests.unit.native.test_arena import in_child

BODY = b'"op":"sign","tenant":"acme"}'


def follow(directory: Path) -> tuple[int, str]:
    """Checks every link with independent code. Returns (records, hex of the last leaf)."""
    seq, prev = 0, "0" * 64
    for segment in sorted(directory.glob("audit-*.jsonl")):
        for line in segment.read_bytes().splitlines():
            record = json.loads(line)
            assert (record["seq"], record["prev"]) == (seq, prev)
            seq, prev = seq + 1, hashlib.sha256(b"\0" + line).hexdigest()
    return seq, prev


def test_workers_append_to_one_chain(tmp_path: Path) -> None:
    arena = make_arena()
    log = AuditLog.open(arena, str(tmp_path / "audit"), 8192)
    slots = [arena.claim_slot() for _ in range(3)]

    def work(slot: int) -> None:
        arena.enter_slot(slot)
        log.after_fork()
        last = max(log.append(BODY) for _ in range(200))
        log.wait_durable(last)
        assert log.durable > last

    def run(slot: int) -> None:
        results.append(in_child(lambda: work(slot)))

    children = [threading.Thread(target=run, args=(slot,)) for slot in slots]
    results: list[int] = []
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert results == [0, 0, 0]
    assert log.head == follow(tmp_path / "audit")
    assert log.head[0] == 600
    assert len(list((tmp_path / "audit").iterdir())) > 5


def test_a_restart_continues_the_chain(tmp_path: Path) -> None:
    first = AuditLog.open(make_arena(), str(tmp_path), 4096)
    assert first.head == (0, "0" * 64)
    for expected in range(40):
        assert first.append(BODY) == expected
    second = AuditLog.open(make_arena(), str(tmp_path), 4096)
    assert second.head == first.head
    assert (second.append(BODY), second.recovered_bytes) == (40, 0)
    assert second.head == follow(tmp_path)


def test_a_torn_tail_is_reported(tmp_path: Path) -> None:
    AuditLog.open(make_arena(), str(tmp_path), 4096).append(BODY)
    with (tmp_path / "audit-00000001.jsonl").open("ab") as segment:
        segment.write(b'{"seq":1,"pre')
    log = AuditLog.open(make_arena(), str(tmp_path), 4096)
    assert log.recovered_bytes == 13
    [torn] = tmp_path.glob("*.torn")
    assert torn.read_bytes() == b'{"seq":1,"pre'
    assert log.append(BODY) == 1
    assert log.head == follow(tmp_path)


def test_a_changed_log_stops_the_start(tmp_path: Path) -> None:
    log = AuditLog.open(make_arena(), str(tmp_path), 4096)
    log.append(BODY)
    log.append(BODY)
    segment = tmp_path / "audit-00000001.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b"acme", b"acne", 1))
    with pytest.raises(AuditDamaged, match=r"audit-00000001\.jsonl: the record at byte \d+"):
        AuditLog.open(make_arena(), str(tmp_path), 4096)


def test_records_are_durable_within_a_moment(tmp_path: Path) -> None:
    arena = make_arena()
    log = AuditLog.open(arena, str(tmp_path), 1 << 20)
    log.after_fork()
    seq = log.append(BODY)
    eventually(lambda: log.durable > seq)
    with pytest.raises(InputError, match="was not appended"):
        log.wait_durable(seq + 1)


def test_a_deleted_file_closes_the_log(tmp_path: Path) -> None:
    log = AuditLog.open(make_arena(), str(tmp_path), 4096)
    log.append(BODY)
    assert log.writable()
    (tmp_path / "audit-00000001.jsonl").unlink()
    assert not log.writable()
    with pytest.raises(AuditWriteError, match="deleted, replaced"):
        log.append(BODY)


@pytest.mark.parametrize("body", [b"", b"{}", b'"a":1', b'"a":\n1}', b'"a":"\x00"}'])
def test_a_body_that_is_not_the_rest_of_an_object_is_refused(tmp_path: Path, body: bytes) -> None:
    log = AuditLog.open(make_arena(), str(tmp_path), 4096)
    with pytest.raises(InputError, match="audit body"):
        log.append(body)
    assert log.head[0] == 0


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(AuditWriteError, match="file"):
        AuditLog.open(make_arena(), os.fspath(tmp_path / "file" / "audit"), 4096)
