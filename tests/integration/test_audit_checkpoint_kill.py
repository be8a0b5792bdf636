"""The checkpointer killed at every change of the disk: it goes on, and never signs two trees of one size."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_killed_at_every_change_of_the_disk_it_never_forks_its_own_log(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.checkpoint_hammer", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.fullmatch(r"killed at (\d+) points in three ways, (\d+) notes of one tree each\n", done.stdout)
    assert found is not None, done.stdout
    assert int(found[1]) > 50
    assert int(found[2]) > 1000
