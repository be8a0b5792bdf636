from __future__ import annotations

import os
from pathlib import Path

import pytest

from ronkms.errors import IntegrityError
from tests.fakes.generation import SharedGeneration
from tests.fakes.journal_state import OpenJournal, entries_in, write_journal


def test_a_new_journal_is_empty_and_says_so(tmp_path: Path) -> None:
    first = OpenJournal(tmp_path)
    first.close()
    assert first.journal.recovery.created
    second = OpenJournal(tmp_path)
    second.close()
    assert not second.journal.recovery.created
    assert second.state.entries == []


def test_entries_are_there_after_a_restart_in_order(tmp_path: Path) -> None:
    written = write_journal(tmp_path, 20)
    assert entries_in(tmp_path) == written


def test_the_writer_applies_its_own_entries_once(tmp_path: Path) -> None:
    opened = OpenJournal(tmp_path)
    opened.append(b"1", b"2")
    opened.journal.refresh()
    opened.close()
    assert opened.state.entries == [b"1", b"2"]
    assert opened.state.seqs == [2, 3]
    assert opened.journal.seq == 3


def test_files_are_private(tmp_path: Path) -> None:
    write_journal(tmp_path, 1)
    for name in ("journal", "journal.head", "journal.lock"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_append_needs_the_lock(tmp_path: Path) -> None:
    opened = OpenJournal(tmp_path)
    with pytest.raises(RuntimeError):
        opened.journal.append(b"1")
    opened.close()


def test_an_entry_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    opened = OpenJournal(tmp_path)
    with opened.journal.exclusive(), pytest.raises(ValueError, match="newline"):
        opened.journal.append(b"1\n2")
    opened.append(b"3")
    opened.close()
    assert entries_in(tmp_path) == [b"3"]


def test_entries_larger_than_the_read_buffer(tmp_path: Path) -> None:
    entries = [b'"%s"' % (b"x" * size) for size in (1, 700_000, 900_000, 5)]
    opened = OpenJournal(tmp_path)
    opened.append(*entries)
    opened.close()
    assert entries_in(tmp_path) == entries


def test_a_reader_replays_only_when_the_generation_moved(tmp_path: Path) -> None:
    generation = SharedGeneration()
    writer = OpenJournal(tmp_path, generation=generation)
    reader = OpenJournal(tmp_path, generation=generation)
    reader.journal.refresh()
    head = tmp_path / "journal.head"
    hidden = head.rename(tmp_path / "hidden")
    reader.journal.refresh()
    hidden.rename(head)
    writer.append(b"1")
    assert reader.state.entries == []
    reader.journal.refresh()
    assert reader.state.entries == [b"1"]
    writer.close()
    reader.close()


def test_an_untold_entry_comes_with_the_next_told_one_or_when_asked_for(tmp_path: Path) -> None:
    generation = SharedGeneration()
    first = OpenJournal(tmp_path, generation=generation)
    second = OpenJournal(tmp_path, generation=generation)
    second.journal.refresh()
    with first.journal.exclusive():
        first.journal.append(b"1", tell=False)
    assert first.state.entries == [b"1"]
    second.journal.refresh()
    assert second.state.entries == []
    second.journal.catch_up()
    assert second.state.entries == [b"1"]
    with first.journal.exclusive():
        first.journal.append(b"2", tell=False)
    with second.journal.exclusive():
        assert second.state.entries == [b"1", b"2"]
        second.journal.append(b"3", tell=False)
    first.append(b"4")
    second.journal.refresh()
    assert second.state.entries == [b"1", b"2", b"3", b"4"]
    first.close()
    second.close()


def test_a_reader_does_not_see_what_is_not_committed(tmp_path: Path) -> None:
    """The head commits: a whole line on disk before its head is replaced is not there yet."""
    generation = SharedGeneration()
    writer = OpenJournal(tmp_path, generation=generation)
    reader = OpenJournal(tmp_path, generation=generation)
    head = (tmp_path / "journal.head").read_bytes()
    writer.append(b"1")
    committed = (tmp_path / "journal.head").read_bytes()
    (tmp_path / "journal.head").write_bytes(head)
    reader.journal.refresh()
    assert reader.state.entries == []
    (tmp_path / "journal.head").write_bytes(committed)
    generation.bump()
    reader.journal.refresh()
    assert reader.state.entries == [b"1"]
    writer.close()
    reader.close()


def test_two_writers_see_each_other(tmp_path: Path) -> None:
    generation = SharedGeneration()
    one = OpenJournal(tmp_path, generation=generation)
    two = OpenJournal(tmp_path, generation=generation)
    one.append(b"1")
    two.append(b"2")
    one.append(b"3")
    two.journal.refresh()
    assert one.state.entries == two.state.entries == [b"1", b"2", b"3"]
    one.close()
    two.close()


@pytest.mark.parametrize("name", ["journal", "journal.head"])
def test_a_file_deleted_under_a_running_server_is_noticed(tmp_path: Path, name: str) -> None:
    opened = OpenJournal(tmp_path)
    opened.append(b"1")
    (tmp_path / name).unlink()
    with pytest.raises(IntegrityError, match="journal"), opened.journal.exclusive():
        pass
    opened.close()


def test_a_replaced_file_is_noticed_by_a_child(tmp_path: Path) -> None:
    opened = OpenJournal(tmp_path)
    copy = (tmp_path / "journal").read_bytes()
    (tmp_path / "journal").unlink()
    (tmp_path / "journal").write_bytes(copy)
    with pytest.raises(IntegrityError, match="replaced"):
        opened.journal.after_fork()
    opened.close()


def test_processes_append_without_loss(tmp_path: Path) -> None:
    """Four processes, 25 entries each, all waiting for each other's lock."""
    opened = OpenJournal(tmp_path)
    children = []
    for child in range(4):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                opened.journal.after_fork()
                opened.append(*(b"%d" % (100 * child + n) for n in range(25)))
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
    opened.journal.refresh()
    opened.close()
    seen = [int(entry) for entry in opened.state.entries]
    assert sorted(seen) == [100 * child + n for child in range(4) for n in range(25)]
    for child in range(4):
        mine = [n for n in seen if n // 100 == child]
        assert mine == sorted(mine)
    assert entries_in(tmp_path) == opened.state.entries
