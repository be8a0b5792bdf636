"""What does not come from a crash is refused, in one line that names the file; what does is mended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ronkms.errors import IntegrityError
from ronkms.journal.line import CHAIN_START, LineCodec, Position
from tests.fakes.custody import FakeCustody
from tests.fakes.journal_state import OpenJournal, entries_in, write_journal

COUNT = 6


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    write_journal(tmp_path, COUNT)
    return tmp_path / "journal"


def refused(directory: Path) -> str:
    with pytest.raises(IntegrityError) as caught:
        entries_in(directory)
    message = str(caught.value)
    assert "journal" in message
    assert str(directory) in message
    assert "\n" not in message
    return message


def cuts() -> list[int]:
    """1000 * whole lines + bytes of the next one: every line boundary, and places inside each line."""
    return [line * 1000 + part for line in range(COUNT + 1) for part in (0, 1, 40, 999)]


@pytest.mark.parametrize("cut", cuts())
def test_a_cut_journal_is_refused(journal: Path, cut: int) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    whole, part = divmod(cut, 1000)
    rest = lines[whole][: min(part, len(lines[whole]) - 1)]
    journal.write_bytes(b"".join(lines[:whole]) + rest)
    refused(journal.parent)


def test_every_changed_byte_is_refused(journal: Path) -> None:
    content = journal.read_bytes()
    for at in range(0, len(content), 3):
        journal.write_bytes(content[:at] + bytes([content[at] ^ 0x01]) + content[at + 1 :])
        refused(journal.parent)


def test_every_changed_byte_of_the_head_is_refused(journal: Path) -> None:
    head = journal.with_name("journal.head")
    content = head.read_bytes()
    for at in range(len(content)):
        head.write_bytes(content[:at] + bytes([content[at] ^ 0x01]) + content[at + 1 :])
        refused(journal.parent)


@pytest.mark.parametrize("line", range(COUNT + 1))
def test_a_removed_or_doubled_line_is_refused(journal: Path, line: int) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:line] + lines[line + 1 :]))
    refused(journal.parent)
    journal.write_bytes(b"".join([*lines[: line + 1], lines[line], *lines[line + 1 :]]))
    if line == COUNT:
        # A second copy of the last line stands after the head, like a torn entry: it is cut off.
        assert len(entries_in(journal.parent)) == COUNT
    else:
        refused(journal.parent)


def test_swapped_lines_are_refused(journal: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[2], lines[3] = lines[3], lines[2]
    journal.write_bytes(b"".join(lines))
    refused(journal.parent)


def test_an_older_journal_alone_is_refused(journal: Path) -> None:
    old = journal.read_bytes()
    opened = OpenJournal(journal.parent)
    opened.append(b'"new"')
    opened.close()
    journal.write_bytes(old)
    assert "rolled back" in refused(journal.parent)


def test_an_older_head_alone_is_refused(journal: Path) -> None:
    head = journal.with_name("journal.head")
    old = head.read_bytes()
    opened = OpenJournal(journal.parent)
    opened.append(b'"new"', b'"newer"')
    opened.close()
    head.write_bytes(old)
    assert "rolled back" in refused(journal.parent)


def test_a_head_made_of_macs_in_the_journal_is_refused(journal: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    mac = lines[3][8:72].decode()
    journal.write_bytes(b"".join(lines[:4]))
    journal.with_name("journal.head").write_text(f'{{"mac":"{mac}","seq":4,"seal":"{mac}"}}\n')
    refused(journal.parent)


def test_a_missing_head_or_journal_is_refused(journal: Path) -> None:
    head = journal.with_name("journal.head")
    hidden = head.rename(journal.with_name("hidden"))
    refused(journal.parent)
    hidden.rename(head)
    journal.unlink()
    refused(journal.parent)


def test_files_of_another_journal_are_refused(journal: Path) -> None:
    directory = journal.parent
    write_journal(directory, COUNT, "other")
    for suffix in ("", ".head"):
        shutil.copy(directory / f"other{suffix}", directory / f"journal{suffix}")
    refused(directory)


def test_head_and_journal_of_two_histories_are_refused(
    journal: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    opened = OpenJournal(elsewhere)
    opened.append(*(b'{"other":%d}' % n for n in range(COUNT)))
    opened.close()
    shutil.copy(elsewhere / "journal.head", journal.with_name("journal.head"))
    assert "do not belong together" in refused(journal.parent)


def test_another_root_key_is_refused(journal: Path) -> None:
    with pytest.raises(IntegrityError, match="root key"):
        OpenJournal(journal.parent, custody=FakeCustody(b"another"))


def test_a_symbolic_link_is_not_followed(journal: Path) -> None:
    real = journal.rename(journal.with_name("real"))
    journal.symlink_to(real)
    with pytest.raises(OSError, match="symbolic"):
        entries_in(journal.parent)


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    codec = LineCodec("journal", FakeCustody().mac)
    line, position = codec.line(
        Position(0, CHAIN_START), b'{"format":"ron-kms journal","version":2,"later":1}'
    )
    (tmp_path / "journal").write_bytes(line)
    (tmp_path / "journal.head").write_bytes(codec.head(position))
    assert "version 2" in refused(tmp_path)
