"""Archiving and retention killed at every change of the disk: no record is lost, and the log goes on."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_killed_at_every_change_of_the_disk_no_record_is_lost(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.retention_hammer", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with_archive, without = (int(found) for found in re.findall(r"killed at (\d+) points", done.stdout))
    assert with_archive > without > 15
