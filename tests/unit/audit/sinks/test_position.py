"""The position file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ronkms.audit.sinks.position import Position, PositionFile
from ronkms.errors import IntegrityError

HERE = Position(12, "ab" * 32)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    file = PositionFile(tmp_path, "siem")
    assert file.load() is None
    file.save(HERE)
    assert PositionFile(tmp_path, "siem").load() == HERE
    path = tmp_path / "sinks" / "siem.json"
    assert json.loads(path.read_text()) == {"v": 1, "record": 12, "leaf": "ab" * 32}
    assert path.stat().st_mode & 0o777 == 0o600
    file.save(Position(13, "cd" * 32))
    assert file.load() == Position(13, "cd" * 32)
    assert [each.name for each in path.parent.iterdir()] == ["siem.json"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        '{"v":2,"record":1,"leaf":"%s"}' % ("ab" * 32),
        '{"v":1,"record":-1,"leaf":"%s"}' % ("ab" * 32),
        '{"v":1,"record":1,"leaf":"ab"}',
        '{"v":1,"record":1,"leaf":"%s","more":1}' % ("ab" * 32),
    ],
)
def test_a_damaged_file_is_not_taken_for_a_new_sink(tmp_path: Path, content: str) -> None:
    (tmp_path / "sinks").mkdir()
    (tmp_path / "sinks" / "siem.json").write_text(content)
    with pytest.raises(IntegrityError, match=r"siem\.json is damaged; the sink begins anew if it is deleted"):
        PositionFile(tmp_path, "siem").load()
