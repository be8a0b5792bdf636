"""The arena survives SIGKILL of its workers at any instruction."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.arena_hammer import LIMITS

SHORT_S = float(os.environ.get("RONKMS_KILL_SECONDS", "10"))


def run(directory: Path, seconds: float) -> dict[str, object]:
    script = Path(__file__).with_name("arena_hammer.py")
    # The script is started by path: alone in its directory it sees the installed native wheel only.
    done = subprocess.run(
        [sys.executable, str(script), str(directory), str(seconds)],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def check(result: dict[str, object], seconds: float) -> None:
    kills, records, appended = (int(str(result[name])) for name in ("kills", "records", "appended"))
    assert kills >= seconds * 5
    assert result["statuses"] == [-signal.SIGKILL], "a worker ended by itself: 3 is a wrong verdict"
    assert result["wrong"] == 0
    assert int(str(result["kept"])) > 0, "the check of verdicts had nothing to check"
    assert result["inflight"] == {"sign": 0, "verify": 0}
    assert int(str(result["reclaimed"])) > 0, "no worker held a permit when it was killed"
    assert result["free"] == list(LIMITS), "capacity was lost"
    assert int(str(result["cache_size"])) > 900, "cache lines were lost"
    # A worker killed between a step and counting it leaves a difference of one each.
    assert appended <= records - 1 <= appended + kills
    assert result["head"] == records
    assert abs(int(str(result["operations"])) - int(str(result["observed"]))) <= kills
    assert abs(int(str(result["measured"])) - int(str(result["observed"]))) <= kills


def test_killed_workers_leave_nothing_behind(tmp_path: Path) -> None:
    check(run(tmp_path / "audit", SHORT_S), SHORT_S)


@pytest.mark.long
@pytest.mark.timeout(180)
def test_killed_workers_leave_nothing_behind_for_a_minute(tmp_path: Path) -> None:
    check(run(tmp_path / "audit", 60), 60)
