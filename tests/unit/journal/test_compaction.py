from __future__ import annotations

from pathlib import Path

import pytest

from ronkms.errors import IntegrityError
from tests.fakes.generation import SharedGeneration
from tests.fakes.journal_state import OpenJournal, entries_in, write_journal

KEEP = 5
GROWN = 4 * KEEP + 65
"""One entry more than what is let grow."""


def test_a_journal_is_compacted_only_when_it_has_outgrown_its_state(tmp_path: Path) -> None:
    write_journal(tmp_path, GROWN - 1)
    opened = OpenJournal(tmp_path, keep=KEEP)
    assert not opened.journal.recovery.compacted
    opened.append(b'"one more"')
    opened.close()
    opened = OpenJournal(tmp_path, keep=KEEP)
    opened.close()
    assert opened.journal.recovery.compacted


def test_the_state_is_the_same_and_numbers_go_on(tmp_path: Path) -> None:
    written = write_journal(tmp_path, GROWN)
    opened = OpenJournal(tmp_path, keep=KEEP)
    seq = opened.journal.seq
    assert seq > GROWN
    opened.append(b'"after"')
    assert opened.journal.seq == seq + 1
    assert opened.state.entries[-1] == b'"after"'
    opened.close()
    assert entries_in(tmp_path) == [*written[-KEEP:], b'"after"']


def test_what_was_found_is_told_without_the_copies(tmp_path: Path) -> None:
    write_journal(tmp_path, GROWN)
    head = tmp_path / "journal.head"
    old_head = head.read_bytes()
    opened = OpenJournal(tmp_path, keep=KEEP)
    found = opened.journal.found
    assert found == GROWN + 1 < opened.journal.seq  # the header is number 1
    opened.close()
    head.write_bytes(old_head)  # a crash inside the compaction
    opened = OpenJournal(tmp_path, keep=KEEP)
    assert opened.journal.found == found
    opened.append(b'"after"')
    made = opened.journal.seq
    opened.close()
    opened = OpenJournal(tmp_path, keep=KEEP)
    assert opened.journal.found == made
    opened.close()


def test_children_of_the_compacting_parent_go_on(tmp_path: Path) -> None:
    write_journal(tmp_path, GROWN)
    generation = SharedGeneration()
    parent = OpenJournal(tmp_path, keep=KEEP, generation=generation)
    other = OpenJournal(tmp_path, generation=generation)
    parent.journal.after_fork()
    other.append(b'"from another"')
    parent.journal.refresh()
    assert parent.state.entries[-1] == b'"from another"'
    parent.close()
    other.close()


def test_a_crash_before_the_head_of_the_compacted_file_is_completed(tmp_path: Path) -> None:
    written = write_journal(tmp_path, GROWN)
    head = tmp_path / "journal.head"
    old_head = head.read_bytes()
    OpenJournal(tmp_path, keep=KEEP).close()
    head.write_bytes(old_head)
    assert entries_in(tmp_path) == written[-KEEP:]
    assert head.read_bytes() != old_head


def test_a_snapshot_cut_short_is_refused(tmp_path: Path) -> None:
    """Also with the old head, which does not say where the new file ends."""
    write_journal(tmp_path, GROWN)
    journal, head = tmp_path / "journal", tmp_path / "journal.head"
    old_head = head.read_bytes()
    OpenJournal(tmp_path, keep=KEEP).close()
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    for content in (head.read_bytes(), old_head):
        head.write_bytes(content)
        with pytest.raises(IntegrityError):
            entries_in(tmp_path)


def test_the_file_from_before_is_refused(tmp_path: Path) -> None:
    write_journal(tmp_path, GROWN)
    old = (tmp_path / "journal").read_bytes()
    OpenJournal(tmp_path, keep=KEEP).close()
    (tmp_path / "journal").write_bytes(old)
    with pytest.raises(IntegrityError):
        entries_in(tmp_path)


def test_a_head_older_than_the_compaction_is_refused(tmp_path: Path) -> None:
    write_journal(tmp_path, GROWN - 1)
    older = (tmp_path / "journal.head").read_bytes()
    opened = OpenJournal(tmp_path)
    opened.append(b'"one more"')
    opened.close()
    OpenJournal(tmp_path, keep=KEEP).close()
    (tmp_path / "journal.head").write_bytes(older)
    with pytest.raises(IntegrityError, match="head"):
        entries_in(tmp_path)
