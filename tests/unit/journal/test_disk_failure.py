"""A full or failing disk: the entry does not exist, or the journal says that nobody knows."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from ronkms.errors import BackendUnavailable
from ronkms.journal import durable_file
from tests.fakes.journal_state import OpenJournal, entries_in, write_journal


def failing(code: int) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_file_at_its_size_limit_is_cut_back_and_goes_on_later(tmp_path: Path) -> None:
    """The kernel takes part of the line and refuses the rest (RLIMIT_FSIZE), as a full disk does."""
    write_journal(tmp_path, 3)
    journal = tmp_path / "journal"
    before = journal.read_bytes()
    opened = OpenJournal(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 50, hard))
    try:
        with pytest.raises(BackendUnavailable, match="not written"):
            opened.append(b'"too much"')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert journal.read_bytes() == before
    assert not opened.journal.failed
    opened.append(b'"fits"')
    opened.close()
    assert entries_in(tmp_path)[3:] == [b'"fits"']


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_for_the_head_takes_the_entry_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    write_journal(tmp_path, 3)
    before = (tmp_path / "journal").read_bytes()
    opened = OpenJournal(tmp_path)
    with monkeypatch.context() as full:
        full.setattr(Path, "replace", failing(code))
        with pytest.raises(BackendUnavailable, match="not written"):
            opened.append(b'"lost"')
    assert (tmp_path / "journal").read_bytes() == before
    opened.append(b'"kept"')
    opened.close()
    assert opened.state.entries[3:] == [b'"kept"']
    assert entries_in(tmp_path)[3:] == [b'"kept"']


def test_a_failed_fsync_latches_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_journal(tmp_path, 3)
    opened = OpenJournal(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", failing(errno.EIO))
        with pytest.raises(BackendUnavailable, match="check the disk"):
            opened.append(b'"unknown"')
    assert opened.journal.failed
    with pytest.raises(BackendUnavailable, match="check the disk"):
        opened.append(b'"later"')
    opened.journal.refresh()
    opened.close()
    assert opened.state.entries == entries_in(tmp_path)[:3]


def test_a_head_renamed_but_not_synced_stands_and_latches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may have seen it already, so it is not taken back."""
    write_journal(tmp_path, 3)
    opened = OpenJournal(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(durable_file, "sync_directory", failing(errno.EIO))
        with pytest.raises(BackendUnavailable, match="check the disk"):
            opened.append(b'"seen"')
    opened.close()
    assert opened.journal.failed
    assert entries_in(tmp_path)[3:] == [b'"seen"']


def test_an_entry_that_cannot_be_taken_back_latches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_journal(tmp_path, 3)
    opened = OpenJournal(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", failing(errno.ENOSPC))
        broken.setattr(os, "ftruncate", failing(errno.EIO))
        with pytest.raises(BackendUnavailable, match="check the disk"):
            opened.append(b'"unknown"')
    opened.close()
    assert opened.journal.failed
    assert entries_in(tmp_path)[3:] == [b'"unknown"']
