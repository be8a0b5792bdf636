"""Random edits of a log of 10,000 records: the offline verifier finds each, and says where.

The log is made by the native writer and the real checkpointer. ``long`` is the whole proof: 2,000 edits.
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest
from ronkms_native import Arena, AuditLog, Custody

from ronkms.audit.checkpoint_files import CheckpointFiles
from ronkms.audit.checkpointer import Checkpointer
from ronkms.audit.log_keys import LogSigner
from ronkms.audit.note import NoteKey
from ronkms.audit.verify import verify_directory
from ronkms.audit.verify_checkpoints import KeptNote
from ronkms.domain.measure import ALGS, COUNTERS, GAUGES, GENERATIONS, OPS, OUTCOMES

RECORDS = 10_000
SEGMENT_BYTES = 256 * 1024
PLACE = re.compile(r"^(audit-\d{8}\.jsonl(:\d+)?|kept|checkpoints/\S+.*): ")


class Original(NamedTuple):
    """``segments``: contents by name. ``kept``: the last checkpoint, as an auditor has it."""

    directory: Path
    segments: dict[str, bytes]
    kept: KeptNote
    keys: tuple[NoteKey, ...]
    older: dict[str, bytes]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Original]:
    directory = tmp_path_factory.mktemp("tamper") / "audit"
    directory.mkdir()
    arena = Arena(
        cache_entries=64,
        cache_ttl_ms=1000,
        inflight_sign=8,
        inflight_verify=8,
        tenant_share_min=0.05,
        slots=2,
        tenants=64,
        ops=list(OPS),
        algs=list(ALGS),
        outcomes=list(OUTCOMES),
        counters=list(COUNTERS),
        gauges=list(GAUGES),
        generations=list(GENERATIONS),
    )
    log = AuditLog.open(arena, str(directory), SEGMENT_BYTES)
    arena.enter_slot(arena.claim_slot())
    signer = LogSigner(directory, Custody.create("dev", None)[0])
    checkpointer = Checkpointer(
        directory,
        log=log,
        signer=signer,
        wanted=lambda: 0,
        announce=lambda: None,
        count_failure=lambda: pytest.fail("the log is good"),
    )
    older: dict[str, bytes] = {}
    for number in range(RECORDS):
        log.append(b'"v":1,"op":"sign","outcome":"ok","tenant":"acme","key_id":"orders-%d"}' % number)
        if number % 1000 == 999:
            log.wait_durable(number)
            checkpointer.step(history=True)
            if number == 5999:
                older = contents(directory)
    checkpointer.stop()
    kept = KeptNote("kept", CheckpointFiles(directory).latest())
    segments = {path.name: path.read_bytes() for path in directory.glob("audit-*.jsonl")}
    assert len(segments) > 4
    yield Original(directory, segments, kept, signer.keys, older)


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def flip(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def delete(chance: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[chance.randrange(len(lines))]
    return b"".join(lines)


def insert(chance: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    lines.insert(chance.randrange(len(lines) + 1), chance.choice(lines))
    return b"".join(lines)


def swap(chance: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    one, other = chance.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def truncate(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


EDITS = [flip, delete, insert, swap, truncate]


def write(directory: Path, files: dict[str, bytes]) -> None:
    directory.mkdir(exist_ok=True)
    for path in directory.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, data in files.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_bytes(data)


def found_with_place(original: Original, directory: Path, archive: Path | None = None) -> bool:
    report = verify_directory(directory, keys=original.keys, kept=[original.kept], archive=archive)
    return bool(report.problems) and all(PLACE.match(str(problem)) for problem in report.problems)


def tamper(original: Original, directory: Path, count: int, seed: int) -> dict[str, int]:
    """Makes ``count`` edits, one after another on the good log. How many of each kind were found."""
    chance = random.Random(seed)
    whole = contents(original.directory)
    write(directory, whole)
    found: dict[str, int] = {}
    for number in range(count):
        edit = EDITS[number % len(EDITS)]
        name = chance.choice(sorted(original.segments))
        data = original.segments[name]
        path = directory / name
        path.write_bytes(edit(chance, data))
        if path.read_bytes() != data:
            assert found_with_place(original, directory), (seed, number, edit.__name__, name)
            found[edit.__name__] = found.get(edit.__name__, 0) + 1
        path.write_bytes(data)
    return found


def forge(original: Original, chance: random.Random) -> dict[str, bytes]:
    """A fork: a record is changed, and every link behind it, in all segments, is made anew."""
    lines = [
        (name, line) for name in sorted(original.segments) for line in original.segments[name].splitlines()
    ]
    start = chance.randrange(len(lines) - 1)
    files = contents(original.directory)
    forged: dict[str, list[bytes]] = {}
    prev = b"0" * 64
    for number, (name, old) in enumerate(lines):
        line = old if number < start else old.replace(b"acme", b"evil")
        line = re.sub(rb'"prev":"[0-9a-f]{64}"', b'"prev":"' + prev + b'"', line, count=1)
        prev = sha256(b"\x00" + line).hexdigest().encode()
        forged.setdefault(name, []).append(line + b"\n")
    return files | {name: b"".join(content) for name, content in forged.items()}


def losses(original: Original, directory: Path, archive: Path, count: int, seed: int) -> dict[str, int]:
    """Segments that vanish or are exchanged, in the log and its archive. How many of each were found."""
    chance = random.Random(seed)
    names = sorted(original.segments)
    write(directory, contents(original.directory))
    write(archive, {name: original.segments[name] for name in names[:-1]})
    whole = verify_directory(directory, keys=original.keys, kept=[original.kept], archive=archive)
    assert whole.good
    assert whole.first_record == 0
    found: dict[str, int] = {}
    for number in range(count):
        kind = ("log", "archive alone", "copy", "exchange", "edit")[number % 5]
        name, other = chance.sample(names[:-1], 2)
        path, copy = directory / name, archive / name
        if kind == "log":  # without the archive it is nowhere
            path.unlink()
            assert found_with_place(original, directory), (seed, number, kind, name)
        elif kind == "archive alone":
            path.unlink()
            copy.unlink()
            assert found_with_place(original, directory, archive), (seed, number, kind, name)
        elif kind == "copy":
            copy.write_bytes(chance.choice(EDITS)(chance, original.segments[name]) + b"x")
            assert found_with_place(original, directory, archive), (seed, number, kind, name)
        elif kind == "exchange":
            path.unlink()
            copy.write_bytes(original.segments[other])
            assert found_with_place(original, directory, archive), (seed, number, kind, name)
        else:
            path.unlink()
            edited = chance.choice(EDITS)(chance, original.segments[name])
            copy.write_bytes(edited)
            if edited != original.segments[name]:
                assert found_with_place(original, directory, archive), (seed, number, kind, name)
        found[kind] = found.get(kind, 0) + 1
        for place in (path, copy):
            place.write_bytes(original.segments[name])
    return found


def roll_backs_and_forks(original: Original, directory: Path, count: int, seed: int) -> int:
    """The older copy of the whole directory, and forks with and without the stored checkpoints."""
    chance = random.Random(seed)
    write(directory, original.older)
    assert not verify_directory(directory, keys=original.keys).problems, "consistent in itself"
    assert found_with_place(original, directory)
    for number in range(count):
        files = forge(original, chance)
        if number % 2:
            files = {name: data for name, data in files.items() if not name.startswith("checkpoints/")}
        write(directory, files)
        assert found_with_place(original, directory), (seed, number)
    return count + 1


def test_the_log_is_good(original: Original) -> None:
    report = verify_directory(original.directory, keys=original.keys, kept=[original.kept])
    assert (report.problems, report.records) == ([], RECORDS)
    assert report.checkpoints >= 11


def test_edits(original: Original, tmp_path: Path) -> None:
    found = tamper(original, tmp_path, 190, seed=1)
    assert found.keys() == {edit.__name__ for edit in EDITS}
    assert roll_backs_and_forks(original, tmp_path, 9, seed=2) == 10


def test_lost_and_exchanged_segments_are_found_with_their_place(original: Original, tmp_path: Path) -> None:
    found = losses(original, tmp_path / "log", tmp_path / "archive", 25, seed=4)
    assert sum(found.values()) == 25


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_2000_edits(original: Original, tmp_path: Path) -> None:
    found = tamper(original, tmp_path, 1960, seed=random.SystemRandom().randrange(2**32))
    others = roll_backs_and_forks(original, tmp_path, 39, seed=3)
    lost = losses(original, tmp_path / "log", tmp_path / "archive", 200, seed=5)
    assert sum(found.values()) >= 1900
    assert sum(lost.values()) == 200
    print(
        f"{sum(found.values()) + others} edits found with their place: {found}, {others} roll-backs and forks"
    )
