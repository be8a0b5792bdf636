"""The native audit log on a disk that fills up and gets room again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from ronkms_native import AuditLog, AuditWriteError

from tests.integration.small_disk import mounted
from tests.unit.native.arenas import make_arena

BODY = b'"op":"sign","padding":"' + b"x" * 500 + b'"}'


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "512k") as disk:
        yield disk


def records(directory: Path) -> int:
    seq, prev = 0, "0" * 64
    for segment in sorted(directory.glob("audit-*.jsonl")):
        for line in segment.read_bytes().splitlines(keepends=True):
            assert line.endswith(b"\n"), "a partial record was left behind"
            record = json.loads(line)
            assert (record["seq"], record["prev"]) == (seq, prev)
            seq, prev = seq + 1, hashlib.sha256(b"\0" + line[:-1]).hexdigest()
    return seq


@pytest.mark.parametrize("segment_bytes", [1 << 20, 8192])
def test_appends_are_refused_while_the_disk_is_full(small_disk: Path, segment_bytes: int) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"b" * (200 << 10))
    directory = small_disk / "audit"
    log = AuditLog.open(make_arena(), str(directory), segment_bytes)
    appended = 0
    with pytest.raises(AuditWriteError, match=r"no room.*free space"):
        for _ in range(2000):
            log.append(BODY)
            appended += 1
    assert not log.writable()
    with pytest.raises(AuditWriteError):
        for _ in range(20):
            log.append(BODY)
            appended += 1
    assert records(directory) == appended == log.head[0]

    ballast.unlink()
    assert log.writable()
    assert log.append(BODY) == appended
    log.wait_durable(appended)
    assert records(directory) == appended + 1
    assert AuditLog.open(make_arena(), str(directory), segment_bytes).recovered_bytes == 0
