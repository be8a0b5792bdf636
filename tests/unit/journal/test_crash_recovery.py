"""What one crash leaves is mended: rolled forward, cut off or completed, and never silently."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ronkms.errors import IntegrityError
from tests.fakes.generation import SharedGeneration
from tests.fakes.journal_state import OpenJournal, entries_in, write_journal


def last_line_uncommitted(directory: Path) -> tuple[bytes, bytes]:
    """Leaves a whole line after the head. Returns (the content before it, that line)."""
    write_journal(directory, 3)
    journal, head = directory / "journal", directory / "journal.head"
    before, old_head = journal.read_bytes(), head.read_bytes()
    opened = OpenJournal(directory)
    opened.append(b'"last"')
    opened.close()
    head.write_bytes(old_head)
    return before, journal.read_bytes()[len(before) :]


def test_a_whole_line_after_the_head_is_rolled_forward(tmp_path: Path) -> None:
    last_line_uncommitted(tmp_path)
    with capture_logs() as logs:
        opened = OpenJournal(tmp_path)
    opened.close()
    assert opened.journal.recovery.rolled_forward
    assert opened.state.entries[-1] == b'"last"'
    assert [line["event"] for line in logs] == ["journal_rolled_forward"]
    again = OpenJournal(tmp_path)
    again.close()
    assert not again.journal.recovery.rolled_forward
    assert again.state.entries == opened.state.entries


def test_a_line_torn_at_any_byte_is_cut_off_and_reported(tmp_path: Path) -> None:
    before, line = last_line_uncommitted(tmp_path)
    journal = tmp_path / "journal"
    for length in range(1, len(line)):
        journal.write_bytes(before + line[:length])
        with capture_logs() as logs:
            opened = OpenJournal(tmp_path)
        opened.close()
        assert opened.journal.recovery.torn_bytes == length
        assert [(entry["event"], entry["bytes"]) for entry in logs] == [("journal_torn_entry_cut", length)]
        assert len(opened.state.entries) == 3
        assert journal.read_bytes() == before


def test_a_torn_line_with_holes_is_cut_off(tmp_path: Path) -> None:
    """A power failure may leave zeros where a block was not written."""
    before, line = last_line_uncommitted(tmp_path)
    (tmp_path / "journal").write_bytes(before + bytes(40) + line[40:])
    assert len(entries_in(tmp_path)) == 3


def test_two_lines_after_the_head_are_no_crash(tmp_path: Path) -> None:
    before, line = last_line_uncommitted(tmp_path)
    (tmp_path / "journal").write_bytes(before + line + b'{"mac"')
    with pytest.raises(IntegrityError, match="rolled back"):
        entries_in(tmp_path)


def test_settled_decides_about_what_a_killed_writer_left(tmp_path: Path) -> None:
    generation = SharedGeneration()
    write_journal(tmp_path, 1)
    survivor = OpenJournal(tmp_path, generation=generation)
    old_head = (tmp_path / "journal.head").read_bytes()
    killed = OpenJournal(tmp_path)
    killed.append(b'"orphan"')
    killed.close()
    (tmp_path / "journal.head").write_bytes(old_head)
    last = survivor.journal.settled()
    assert survivor.state.entries[-1] == b'"orphan"'
    survivor.append(b'"next"')
    assert survivor.journal.seq == last + 1
    survivor.close()


def test_a_running_writer_mends_what_a_killed_one_left(tmp_path: Path) -> None:
    """The survivor sees the entry, tells the others, and goes on behind it."""
    generation = SharedGeneration()
    write_journal(tmp_path, 1)
    survivor = OpenJournal(tmp_path, generation=generation)
    reader = OpenJournal(tmp_path, generation=generation)
    old_head = (tmp_path / "journal.head").read_bytes()
    killed = OpenJournal(tmp_path)
    killed.append(b'"orphan"')
    killed.close()
    (tmp_path / "journal.head").write_bytes(old_head)
    with survivor.journal.exclusive():
        assert survivor.state.entries[-1] == b'"orphan"'
    reader.journal.refresh()
    assert reader.state.entries[-1] == b'"orphan"'
    with (tmp_path / "journal").open("ab") as file:
        file.write(b'{"mac":"torn')
    survivor.append(b'"after"')
    survivor.close()
    reader.close()
    assert entries_in(tmp_path) == [b'{"n":0}', b'"orphan"', b'"after"']


def test_a_creation_cut_short_is_completed(tmp_path: Path) -> None:
    write_journal(tmp_path, 0)
    (tmp_path / "journal.head").unlink()
    assert entries_in(tmp_path) == []
    assert (tmp_path / "journal.head").exists()


def test_leftovers_of_replacements_are_removed(tmp_path: Path) -> None:
    write_journal(tmp_path, 2)
    for name in ("journal.tmp", "journal.head.tmp"):
        (tmp_path / name).write_bytes(b"half")
    assert len(entries_in(tmp_path)) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal", "journal.head", "journal.lock"]
