from __future__ import annotations

import errno
import json
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from ronkms.bus import event_writer, local
from ronkms.bus.event_reader import EventReader
from ronkms.bus.local import LocalBus, tail
from ronkms.errors import StartError


def names(directory: Path, since: float = 0) -> list[str]:
    return [event.event for event in tail(directory, since)]


def test_an_event_is_one_json_line_of_the_documented_form(tmp_path: Path) -> None:
    bus = LocalBus(tmp_path / "bus")
    before = time.time()
    bus.publish("KeyRotated", {"key_id": "orders", "key_version": 2})
    bus.close()
    (line,) = (tmp_path / "bus" / "kms.jsonl").read_text().splitlines()
    event = json.loads(line)
    at = datetime.strptime(event.pop("time"), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert before - 1 <= at.timestamp() <= time.time()
    assert event == {
        "v": 1,
        "seq": 1,
        "event": "KeyRotated",
        "fields": {"key_id": "orders", "key_version": 2},
    }


def test_files_are_private(tmp_path: Path) -> None:
    LocalBus(tmp_path / "bus").close()
    assert (tmp_path / "bus").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "bus").iterdir()} == {0o600}


def test_numbers_go_on_over_restarts(tmp_path: Path) -> None:
    for _ in range(3):
        bus = LocalBus(tmp_path)
        bus.publish("Health", {})
        bus.close()
    assert [event.seq for event in tail(tmp_path, 0)] == [1, 2, 3]


def test_tail_begins_at_a_time(tmp_path: Path) -> None:
    bus = LocalBus(tmp_path)
    bus.publish("BackendDown", {})
    time.sleep(0.01)
    now = time.time()
    bus.publish("BackendUp", {})
    assert [event.event for event in bus.tail(now)] == ["BackendUp"]
    assert names(tmp_path) == ["BackendDown", "BackendUp"]
    bus.close()


def test_tail_of_a_directory_without_events_is_empty(tmp_path: Path) -> None:
    assert names(tmp_path) == []


def test_rotation_bounds_the_files_and_keeps_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_writer, "ROTATE_BYTES", 1_000)
    bus = LocalBus(tmp_path)
    for number in range(50):
        bus.publish("Health", {"n": number})
    bus.close()
    sizes = [(tmp_path / name).stat().st_size for name in ("kms.jsonl", "kms.jsonl.1")]
    assert max(sizes) < 1_200
    seqs = [event.seq for event in tail(tmp_path, 0)]
    assert seqs == list(range(seqs[0], 51))
    assert len(seqs) >= 10


def test_a_reader_follows_over_rotations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_writer, "ROTATE_BYTES", 2_000)
    bus = LocalBus(tmp_path)
    reader = EventReader(tmp_path)
    seen = []
    for number in range(100):
        bus.publish("Health", {"n": number})
        if number % 7 == 0:
            seen += [event.seq for event in reader.read()]
    seen += [event.seq for event in reader.read()]
    reader.close()
    bus.close()
    assert seen == list(range(1, 101))


def test_follow_waits_for_what_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "FOLLOW_SECONDS", 0.01)
    bus = LocalBus(tmp_path)
    bus.publish("Health", {})
    events = bus.tail(0, follow=True)
    assert next(events).event == "Health"
    later = threading.Timer(0.05, bus.publish, ("KeyRotated", {}))
    later.start()
    assert next(events).event == "KeyRotated"
    later.join()
    events.close()  # type: ignore[attr-defined]
    bus.close()


@pytest.mark.parametrize("torn", [b'{"v":1,"seq":9', b"x" * 100_000])
def test_a_line_that_a_crash_tore_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    bus = LocalBus(tmp_path)
    bus.publish("Health", {})
    with (tmp_path / "kms.jsonl").open("ab") as file:
        file.write(torn[: 1 << 15])
    assert names(tmp_path) == ["Health"]
    with capture_logs() as logs:
        bus.publish("KeyRotated", {})
    bus.close()
    assert [line["event"] for line in logs] == ["bus_torn_event_cut"]
    assert [(event.seq, event.event) for event in tail(tmp_path, 0)] == [(1, "Health"), (2, "KeyRotated")]


def test_processes_number_their_events_without_gaps(tmp_path: Path) -> None:
    bus = LocalBus(tmp_path)
    pids = []
    for child in range(4):
        pid = os.fork()
        if pid == 0:
            bus.after_fork()
            for _ in range(20):
                bus.publish("Health", {"child": child})
            os._exit(0)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
    bus.close()
    assert [event.seq for event in tail(tmp_path, 0)] == list(range(1, 81))


def test_a_full_disk_fails_no_request_and_is_reported_until_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    bus = LocalBus(tmp_path)
    assert bus.missing() == []
    with monkeypatch.context() as broken, capture_logs() as logs:
        broken.setattr(os, "pwrite", full)
        for _ in range(3):
            bus.publish("KeyRotated", {"key_id": "orders"})
        assert "No space left" in bus.missing()[0]
    assert [line["event"] for line in logs] == ["bus_event_lost"] * 3
    assert bus.missing() == []
    bus.publish("KeyRotated", {"key_id": "orders"})
    bus.close()
    events = list(tail(tmp_path, 0))
    assert [event.event for event in events] == ["Health", "KeyRotated"]
    assert events[0].fields == {"bus": "local", "lost": 3}
    assert [event.seq for event in events] == [1, 2]


def test_a_half_written_event_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = LocalBus(tmp_path)
    bus.publish("Health", {})
    size = (tmp_path / "kms.jsonl").stat().st_size

    def failing(_: int) -> NoReturn:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", failing)
        bus.publish("KeyRotated", {})
    assert (tmp_path / "kms.jsonl").stat().st_size == size
    bus.close()


def test_little_space_is_told_before_it_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = LocalBus(tmp_path)
    monkeypatch.setattr(local, "MIN_FREE_BYTES", 1 << 62)
    assert "bytes are free" in bus.missing()[0]
    bus.close()


def test_a_directory_that_went_away_is_named_and_fails_no_request(tmp_path: Path) -> None:
    bus = LocalBus(tmp_path / "bus")
    for path in (tmp_path / "bus").iterdir():
        path.unlink()
    (tmp_path / "bus").rmdir()
    bus.publish("Health", {})
    assert str(tmp_path) in bus.missing()[0]
    bus.close()


def test_an_event_too_large_is_lost_not_raised(tmp_path: Path) -> None:
    bus = LocalBus(tmp_path)
    bus.publish("Health", {"text": "x" * (1 << 17)})
    bus.publish("Health", {"n": 1})
    bus.close()
    assert [dict(event.fields) for event in tail(tmp_path, 0)] == [{"bus": "local", "lost": 1}, {"n": 1}]


def test_damaged_and_newer_lines_are_skipped(tmp_path: Path) -> None:
    bus = LocalBus(tmp_path)
    bus.publish("Health", {})
    with (tmp_path / "kms.jsonl").open("ab") as file:
        file.write(b'not json\n{"v":2,"seq":7,"time":"2026-11-24T00:00:00Z","event":"Later","fields":{}}\n')
    bus.publish("KeyRotated", {})
    bus.close()
    assert [(event.seq, event.event) for event in tail(tmp_path, 0)] == [(1, "Health"), (2, "KeyRotated")]


def test_a_directory_that_cannot_be_used_is_a_start_error(tmp_path: Path) -> None:
    (tmp_path / "bus").write_bytes(b"a file")
    with pytest.raises(StartError, match=str(tmp_path / "bus")):
        LocalBus(tmp_path / "bus")
