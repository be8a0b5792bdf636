"""The sink that is a file: whatever is done to the file."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from ronkms.audit.follower import Followed
from ronkms.audit.sinks.encoding import encoder
from ronkms.audit.sinks.file_transport import FileTransport
from ronkms.errors import Unavailable
from tests.unit.audit.log_files import make_lines

RECORDS = [Followed(number, line, bytes(32)) for number, line in enumerate(make_lines(20))]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.fixture
def transport(path: Path) -> Iterator[FileTransport]:
    made = FileTransport("f", path, "jsonl", encoder("jsonl"))
    made.open()
    yield made
    made.close()


def lines(*records: Followed) -> bytes:
    return b"".join(record.line + b"\n" for record in records)


def test_lines_are_appended_to_a_file_of_its_owner(transport: FileTransport, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert transport.deliver(RECORDS[:3]) == 3
    assert transport.deliver(RECORDS[3:4]) == 1
    transport.flush()
    transport.check()
    assert path.read_bytes() == lines(*RECORDS[:4])


def test_an_existing_file_keeps_content_and_mode(path: Path) -> None:
    path.write_bytes(lines(RECORDS[0]))
    path.chmod(0o640)
    transport = FileTransport("f", path, "jsonl", encoder("jsonl"))
    transport.open()
    transport.deliver(RECORDS[1:2])
    transport.close()
    assert path.read_bytes() == lines(*RECORDS[:2])
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("torn", [1, 5, 7, 40, 200])
def test_a_torn_line_is_cut_off(path: Path, torn: int) -> None:
    path.write_bytes(lines(RECORDS[0]) + RECORDS[1].line[:torn])
    transport = FileTransport("f", path, "jsonl", encoder("jsonl"))
    transport.open()
    transport.deliver(RECORDS[1:2])
    transport.close()
    assert path.read_bytes() == lines(*RECORDS[:2])


def test_a_file_of_somebody_else_is_left_alone(path: Path) -> None:
    path.write_bytes(b"root:x:0:0")
    with pytest.raises(Unavailable, match="does not end with a line of this sink"):
        FileTransport("f", path, "jsonl", encoder("jsonl")).open()
    assert path.read_bytes() == b"root:x:0:0"


@pytest.mark.parametrize("kind", ["directory", "pipe", "device"])
def test_what_is_no_file_is_refused(path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path = Path("/dev/null")
    with pytest.raises((Unavailable, IsADirectoryError)):
        FileTransport("f", path, "jsonl", encoder("jsonl")).open()


def test_a_renamed_file_is_left_and_a_new_one_made(transport: FileTransport, path: Path) -> None:
    transport.deliver(RECORDS[:2])
    rotated = path.with_suffix(".1")
    path.rename(rotated)
    with structlog.testing.capture_logs() as logged:
        transport.check()
    assert [entry["event"] for entry in logged] == ["audit_sink_file_reopened"]
    transport.deliver(RECORDS[2:3])
    assert (rotated.read_bytes(), path.read_bytes()) == (lines(*RECORDS[:2]), lines(RECORDS[2]))


def test_what_is_written_while_it_is_renamed_counts(transport: FileTransport, path: Path) -> None:
    path.rename(path.with_suffix(".1"))
    path.touch(0o640)
    assert transport.deliver(RECORDS[:1]) == 1
    assert transport.deliver(RECORDS[1:2]) == 1
    assert path.with_suffix(".1").read_bytes() + path.read_bytes() == lines(*RECORDS[:2])


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_what_is_written_into_a_deleted_file_does_not_count(
    transport: FileTransport, path: Path, how: str
) -> None:
    transport.deliver(RECORDS[:1])
    if how == "deleted":
        path.unlink()
    else:
        other = path.with_suffix(".other")
        other.touch()
        other.replace(path)
    for noticed in (transport.check, lambda: transport.deliver(RECORDS[1:2])):
        with pytest.raises(Unavailable, match="was deleted or replaced: what was in it is gone"):
            noticed()
    transport.close()
    transport.open()
    transport.deliver(RECORDS[1:2])
    assert path.read_bytes() == lines(RECORDS[1])


def test_a_read_only_file_is_noticed(transport: FileTransport, path: Path) -> None:
    path.chmod(0o400)
    with pytest.raises(Unavailable, match="is read-only"):
        transport.check()
    transport.close()
    with pytest.raises(Unavailable, match="is read-only"):
        transport.open()
    path.chmod(0o600)
    transport.open()
    transport.check()


def test_a_cut_file_is_told_and_written_on(transport: FileTransport, path: Path) -> None:
    transport.deliver(RECORDS[:2])
    os.truncate(path, 0)
    with structlog.testing.capture_logs() as logged:
        transport.check()
    assert [entry["event"] for entry in logged] == ["audit_sink_file_cut"]
    transport.deliver(RECORDS[2:3])
    assert path.read_bytes() == lines(RECORDS[2])


def test_no_part_of_a_line_stays_when_the_room_ends(path: Path) -> None:
    """A file size limit stands for a full disk: the first part of the write fits, the rest does not."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            transport = FileTransport("f", path, "jsonl", encoder("jsonl"))
            transport.open()
            transport.deliver(RECORDS[:2])
            room = len(lines(*RECORDS[:3])) + 20
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
            try:
                transport.deliver(RECORDS[2:6])
            except OSError:
                status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert path.read_bytes() == lines(*RECORDS[:2])
