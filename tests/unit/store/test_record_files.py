from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronkms.store.pending_record import PendingFile, PendingRecord
from ronkms.store.record_files import RecordFiles


@pytest.fixture
def files(tmp_path: Path) -> RecordFiles:
    return RecordFiles(tmp_path)


@given(tenant=st.text(max_size=80), key_id=st.text(max_size=80), number=st.integers(1, 10**9))
def test_any_name_gives_a_safe_file(
    tmp_path_factory: pytest.TempPathFactory, tenant: str, key_id: str, number: int
) -> None:
    files = RecordFiles(tmp_path_factory.getbasetemp())
    file = files.file(
        tenant.encode("utf-8", "replace").decode(), key_id.encode("utf-8", "replace").decode(), number
    )
    found = re.fullmatch(r"([0-9a-f]{2})/([0-9a-f]{64})\.([0-9]+)\.rec", file)
    assert found is not None
    assert found[2].startswith(found[1])
    assert int(found[3]) == number


def test_the_file_name_is_the_documented_digest(files: RecordFiles) -> None:
    """``printf '\\0\\0\\0\\4acme\\0\\0\\0\\6orders' | sha256sum``"""
    digest = "9f4135a6ee3e106246392e2b906cf9b810fe615176b90dfeaef5c822d29c30da"
    assert files.file("acme", "orders", 3) == f"{digest[:2]}/{digest}.3.rec"


def test_a_record_goes_from_staging_to_its_place(files: RecordFiles, tmp_path: Path) -> None:
    file = files.file("acme", "orders", 1)
    staged = files.stage(b"record")
    assert list(files.present()) == []
    files.commit(staged, file)
    assert files.read(file) == b"record"
    assert list(files.present()) == [file]
    assert (tmp_path / "records" / file).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "records").stat().st_mode & 0o777 == 0o700
    assert files.clear_staging() == 0


def test_remove_and_quarantine_say_whether_there_was_anything(files: RecordFiles) -> None:
    file = files.file("acme", "orders", 1)
    assert not files.remove(file)
    assert files.quarantine(file) is None
    files.commit(files.stage(b"record"), file)
    moved = files.quarantine(file)
    assert moved is not None
    assert moved.read_bytes() == b"record"
    files.commit(files.stage(b"record"), file)
    assert files.remove(file)
    assert list(files.present()) == []


def test_other_files_are_no_records(files: RecordFiles, tmp_path: Path) -> None:
    shard = tmp_path / "records" / "ab"
    shard.mkdir()
    for name in ("x.1.rec", f"{'a' * 64}.0.rec", f"{'a' * 64}.1.rec~", f"{'A' * 64}.1.rec"):
        (shard / name).write_bytes(b"")
    assert list(files.present()) == []


def test_a_symbolic_link_is_not_followed(files: RecordFiles, tmp_path: Path) -> None:
    file = files.file("acme", "orders", 1)
    target = tmp_path / "records" / file
    target.parent.mkdir()
    (tmp_path / "elsewhere").write_bytes(b"record")
    target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        files.read(file)


def test_what_is_pending_outlives_its_process(tmp_path: Path) -> None:
    for pending in (PendingRecord("acme", "orders", 12), PendingRecord("a", "b", 1)):
        file = PendingFile(tmp_path / "pending")
        assert file.read() is None
        file.set(pending)
        file.close()
        file = PendingFile(tmp_path / "pending")
        assert file.read() == pending
        file.clear()
        file.close()


def test_a_half_written_name_is_nothing_pending(tmp_path: Path) -> None:
    (tmp_path / "pending").write_bytes(b'{"tenant":"acme","key')
    file = PendingFile(tmp_path / "pending")
    assert file.read() is None
    file.close()
