"""What the key store remembers of the log, held against the log that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from ronkms.audit.log_anchor import NAME, LogAnchor
from ronkms.audit.tree_files import TreeWriter
from ronkms.audit.tree_state import TREE
from tests.fakes.anchors import FakeAnchors
from tests.unit.audit.log_files import leaf, make_lines, write_log

LINES = make_lines(30)


@pytest.fixture
def anchors() -> FakeAnchors:
    return FakeAnchors()


def remembered(directory: Path, anchors: FakeAnchors, records: int) -> LogAnchor:
    write_log(directory, [LINES[:20], LINES[20:]])
    anchor = LogAnchor(directory, "ron-kms/1", anchors)
    anchor.remember(records, leaf(LINES[records - 1]))
    return anchor


def test_the_first_start_remembers_nothing(tmp_path: Path, anchors: FakeAnchors) -> None:
    assert LogAnchor(tmp_path, "ron-kms/1", anchors).fault(0, "0" * 64) == ""


def test_a_log_that_went_on_is_good(tmp_path: Path, anchors: FakeAnchors) -> None:
    anchor = remembered(tmp_path, anchors, 12)
    assert anchor.fault(12, leaf(LINES[11])) == ""
    assert anchor.fault(30, leaf(LINES[29])) == "", "by the record itself"
    (tmp_path / TREE).mkdir()
    with TreeWriter(tmp_path / TREE) as tree:
        tree.append(b"".join(bytes.fromhex(leaf(line)) for line in LINES))
    for path in tmp_path.glob("audit-*"):
        path.unlink()
    assert anchor.fault(30, leaf(LINES[29])) == "", "by the tree"


def test_an_older_copy_is_found(tmp_path: Path, anchors: FakeAnchors) -> None:
    anchor = remembered(tmp_path, anchors, 12)
    assert "has 11 records, the key store remembers 12" in anchor.fault(11, leaf(LINES[10]))
    assert "rolled back" in anchor.fault(0, "0" * 64)


def test_an_older_copy_that_went_on_otherwise_is_found(tmp_path: Path, anchors: FakeAnchors) -> None:
    anchor = remembered(tmp_path, anchors, 12)
    other = make_lines(30, prev="11" * 32)
    write_log(tmp_path, [other[:20], other[20:]])
    assert "record 11 is another" in anchor.fault(30, leaf(other[29]))
    assert "record 11 is another" in anchor.fault(12, leaf(other[11]))


def test_a_log_that_was_begun_anew_is_found(tmp_path: Path, anchors: FakeAnchors) -> None:
    remembered(tmp_path, anchors, 12)
    anew = LogAnchor(tmp_path, "ron-kms/2", anchors)
    assert "12 records of another log, ron-kms/1" in anew.fault(40, leaf(LINES[0]))
    anew.remember(2, leaf(LINES[1]))
    assert anew.fault(2, leaf(LINES[1])) == "", "it is said once"
    assert anchors.anchor(NAME) is not None
