"""Archiving and retention killed at every change of the disk: no record is lost, and the log goes on."""

from __future__ import annotations

import re
from pathlib import Path

from tests.integration.script import run_script


def test_killed_at_every_change_of_the_disk_no_record_is_lost(tmp_path: Path) -> None:
    printed = run_script("tests.integration.retention_hammer", tmp_path)
    with_archive, without = (int(found) for found in re.findall(r"killed at (\d+) points", printed))
    assert with_archive > without > 15
