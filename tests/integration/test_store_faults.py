"""A record or file that is not what was written is found by name, isolates its key, and is never touched."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from ronkms.domain.key import KeyState
from ronkms.errors import BackendUnavailable, IntegrityError, NotFound, StartError
from tests.fakes.open_store import OpenStore


@pytest.fixture
def keystore(tmp_path: Path) -> Path:
    """Two keys, ``orders`` with two versions, ``mail`` with one."""
    opened = OpenStore(tmp_path / "keystore")
    opened.create("orders")
    opened.rotate("orders")
    opened.create("mail")
    opened.close()
    return tmp_path / "keystore"


@pytest.fixture
def opened(keystore: Path) -> Iterator[OpenStore]:
    store = OpenStore(keystore)
    yield store
    store.close()


def record_path(keystore: Path, key_id: str, number: int) -> Path:
    store = OpenStore(keystore)
    store.close()
    return store.record_path(key_id, number)


def assert_isolated(keystore: Path, key_id: str, number: int) -> None:
    """Found at start, named, counted, refused at use; everything else works; the file stays as it is."""
    path = record_path(keystore, key_id, number)
    before = path.read_bytes() if path.exists() else None
    with capture_logs() as logs:
        store = OpenStore(keystore)
    try:
        name = f"acme/{key_id}/{number}"
        assert [line["record"].split()[0] for line in logs if line["event"] == "record_damaged"] == [name]
        assert store.damaged == 1
        assert [damaged.split()[0] for damaged in store.store.damaged()] == [name]
        assert path.name in store.store.damaged()[0]
        for _ in range(2):
            with pytest.raises(BackendUnavailable, match=name):
                store.store.record("acme", key_id, number)
        assert store.damaged == 1
        for other in store.store.page("acme"):
            for version in other.versions:
                if (other.key_id, version) != (key_id, number):
                    assert store.store.record("acme", other.key_id, version)
        assert (path.read_bytes() if path.exists() else None) == before
    finally:
        store.close()


def test_any_changed_byte_of_a_record(keystore: Path) -> None:
    path = record_path(keystore, "orders", 2)
    content = path.read_bytes()
    for at in random.Random(1).sample(range(len(content)), 20):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x80]) + content[at + 1 :])
        assert_isolated(keystore, "orders", 2)


@pytest.mark.parametrize("change", ["cut", "longer", "empty", "deleted", "older", "other key's", "endless"])
def test_a_replaced_record(keystore: Path, change: str) -> None:
    path = record_path(keystore, "orders", 2)
    content = path.read_bytes()
    if change == "deleted":
        path.unlink()
    else:
        path.write_bytes(
            {
                "cut": content[:-1],
                "longer": content + b"\0",
                "empty": b"",
                "older": record_path(keystore, "orders", 1).read_bytes(),
                "other key's": record_path(keystore, "mail", 1).read_bytes(),
                "endless": bytes(1 << 20),
            }[change]
        )
    assert_isolated(keystore, "orders", 2)


def test_two_swapped_records_are_both_named(keystore: Path) -> None:
    one, two = record_path(keystore, "orders", 1), record_path(keystore, "mail", 1)
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)
    store = OpenStore(keystore)
    store.close()
    assert sorted(name.split()[0] for name in store.store.damaged()) == ["acme/mail/1", "acme/orders/1"]


def test_damage_while_the_server_runs_is_found_at_use(opened: OpenStore) -> None:
    path = opened.record_path("orders", 2)
    path.write_bytes(b"damaged")
    with pytest.raises(BackendUnavailable, match="acme/orders/2"):
        opened.store.record("acme", "orders", 2)
    assert opened.damaged == 1
    assert "acme/orders/2" in (opened.store.get("acme", "orders").damaged or "")


def test_a_record_put_back_is_good_again_without_a_restart(opened: OpenStore) -> None:
    path = opened.record_path("orders", 2)
    content = path.read_bytes()
    path.write_bytes(b"damaged")
    with pytest.raises(BackendUnavailable):
        opened.store.record("acme", "orders", 2)
    path.write_bytes(content)
    assert opened.store.record("acme", "orders", 2) == content
    assert opened.store.damaged() == []
    assert opened.store.get("acme", "orders").damaged is None


def test_a_rotation_is_the_way_out_and_keeps_the_damaged_file(opened: OpenStore) -> None:
    path = opened.record_path("orders", 2)
    path.write_bytes(b"damaged")
    with pytest.raises(BackendUnavailable):
        opened.store.record("acme", "orders", 2)
    key = opened.rotate("orders")
    assert key.damaged is None
    assert opened.store.record("acme", "orders", 3)
    assert path.read_bytes() == b"damaged"
    assert len(opened.store.damaged()) == 1


def test_an_older_damaged_version_does_not_stop_the_one_that_signs(keystore: Path) -> None:
    record_path(keystore, "orders", 1).unlink()
    store = OpenStore(keystore)
    store.close()
    assert store.store.get("acme", "orders").damaged is None
    assert store.store.damaged() != []


def test_destroying_a_damaged_version_clears_the_mark(keystore: Path) -> None:
    record_path(keystore, "orders", 2).write_bytes(b"damaged")
    store = OpenStore(keystore)
    store.store.set_state("acme", "orders", KeyState.DESTROY_SCHEDULED, version=2, destroy_at=1)
    store.store.destroy("acme", "orders", version=2)
    store.close()
    assert store.store.damaged() == []


def test_an_older_journal_and_head_beside_newer_records_are_refused(tmp_path: Path) -> None:
    """The journal alone could not show it; a partial restore must not hide keys."""
    keystore = tmp_path / "keystore"
    store = OpenStore(keystore)
    store.create("old")
    old = {name: (keystore / name).read_bytes() for name in ("journal", "journal.head")}
    for number in range(2):
        store.create(f"new-{number}")
    store.close()
    for name, content in old.items():
        (keystore / name).write_bytes(content)
    files = sorted(keystore.rglob("*.rec"))
    with pytest.raises(IntegrityError, match="2 records") as caught:
        OpenStore(keystore)
    assert "\n" not in str(caught.value)
    assert sorted(keystore.rglob("*.rec")) == files


@pytest.mark.parametrize("name", ["journal", "journal.head"])
def test_an_older_journal_or_head_alone_is_refused(keystore: Path, name: str) -> None:
    old = (keystore / name).read_bytes()
    store = OpenStore(keystore)
    store.create("new-1")
    store.create("new-2")
    store.close()
    (keystore / name).write_bytes(old)
    with pytest.raises(IntegrityError, match="journal"):
        OpenStore(keystore)


def test_an_older_copy_of_the_whole_directory_is_accepted(keystore: Path, tmp_path: Path) -> None:
    """What the directory alone cannot show (docs/formats/keystore.md, Rollback)."""
    shutil.copytree(keystore, tmp_path / "backup")
    store = OpenStore(keystore)
    store.create("new")
    store.close()
    shutil.rmtree(keystore)
    shutil.copytree(tmp_path / "backup", keystore)
    store = OpenStore(keystore)
    store.close()
    assert [key.key_id for key in store.store.page("acme")] == ["mail", "orders"]


def test_one_record_that_a_crash_left_is_quarantined_not_deleted(keystore: Path) -> None:
    store = OpenStore(keystore)
    store.close()
    surplus = store.record_path("crashed", 1)
    surplus.parent.mkdir(exist_ok=True)
    surplus.write_bytes(b"record without an entry")
    (keystore / "tmp" / "half").write_bytes(b"half a record")
    with capture_logs() as logs:
        OpenStore(keystore).close()
    assert {line["event"] for line in logs} == {"record_quarantined", "uncommitted_records_removed"}
    assert [path.read_bytes() for path in (keystore / "quarantine").iterdir()] == [b"record without an entry"]
    assert list((keystore / "tmp").iterdir()) == []


def test_a_destroyed_record_that_a_crash_left_is_removed(keystore: Path) -> None:
    store = OpenStore(keystore)
    path = store.record_path("mail", 1)
    content = path.read_bytes()
    store.store.set_state("acme", "mail", KeyState.DESTROY_SCHEDULED, destroy_at=1)
    store.store.destroy("acme", "mail")
    store.close()
    assert not path.exists()
    path.write_bytes(content)
    OpenStore(keystore).close()
    assert not path.exists()


def test_a_killed_worker_is_cleaned_up_after_by_the_next_change(
    opened: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the record's rename and its entry, and the same number is wanted again."""
    pid = os.fork()
    if pid == 0:
        opened.store.after_fork()
        monkeypatch.setattr(opened.store._journal, "append", lambda _: os._exit(9))
        opened.rotate("orders")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    assert opened.record_path("orders", 3).exists()
    with capture_logs() as logs:
        key = opened.rotate("orders")
    assert len(key.versions) == 3
    assert opened.store.record("acme", "orders", 3)
    assert [line["event"] for line in logs] == ["record_quarantined"]
    opened.close()
    again = OpenStore(opened.directory)
    assert again.store.damaged() == []
    opened.store = again.store


def test_a_full_disk_leaves_nothing_behind(opened: OpenStore) -> None:
    """The journal cannot grow (RLIMIT_FSIZE): the key does not exist, its record neither, later ones do."""
    size = (opened.directory / "journal").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
    try:
        with pytest.raises(BackendUnavailable, match="not written"):
            opened.create("too-much")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(NotFound):
        opened.store.get("acme", "too-much")
    assert not opened.record_path("too-much", 1).exists()
    assert list((opened.directory / "tmp").iterdir()) == []
    assert opened.create("too-much").key_id == "too-much"


@pytest.mark.parametrize("step", ["fsync", "pwrite"])
def test_a_failing_disk_is_an_answer_not_a_crash(
    opened: OpenStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, step, fail)
        with pytest.raises(BackendUnavailable, match="No space left"):
            opened.create("too-much")
        with pytest.raises(BackendUnavailable):
            opened.store.set_state("acme", "orders", KeyState.DISABLED)
    assert [key.key_id for key in opened.store.page("acme")] == ["mail", "orders"]
    assert opened.store.get("acme", "orders").state is KeyState.ENABLED


def test_a_second_server_is_refused_and_told_who_holds_the_directory(opened: OpenStore) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            OpenStore(opened.directory)
        except StartError as error:
            named = str(opened.directory) in str(error) and str(os.getppid()) in str(error)
            os._exit(0 if named else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_orphaned_workers_of_a_dead_parent_are_waited_for(keystore: Path) -> None:
    """The parent dies at once; its child holds the inherited lock a little longer."""
    read_end, write_end = os.pipe()
    parent = os.fork()
    if parent == 0:
        OpenStore(keystore)
        if os.fork() == 0:
            os.write(write_end, b"x")
            time.sleep(0.5)
        os._exit(0)
    os.waitpid(parent, 0)
    os.read(read_end, 1)
    OpenStore(keystore).close()
    os.close(read_end)
    os.close(write_end)


def test_a_directory_that_cannot_be_used_is_a_start_error(tmp_path: Path) -> None:
    (tmp_path / "keystore").write_bytes(b"a file")
    with pytest.raises(StartError, match=str(tmp_path / "keystore")):
        OpenStore(tmp_path / "keystore")
