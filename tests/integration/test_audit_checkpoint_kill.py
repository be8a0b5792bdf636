"""The checkpointer killed at every change of the disk: it goes on, and never signs two trees of one size."""

from __future__ import annotations

import re
from pathlib import Path

from tests.integration.script import run_script


def test_killed_at_every_change_of_the_disk_it_never_forks_its_own_log(tmp_path: Path) -> None:
    printed = run_script("tests.integration.checkpoint_hammer", tmp_path)
    found = re.fullmatch(r"killed at (\d+) points in three ways, (\d+) notes of one tree each\n", printed)
    assert found is not None, printed
    assert int(found[1]) > 50
    assert int(found[2]) > 1000
