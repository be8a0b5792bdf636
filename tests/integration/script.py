"""Runs a module of the tests in a process of its own, with the ``ronkms`` that the tests themselves run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
_RUN = """
import runpy, sys
sys.path.append(sys.argv.pop(1))
runpy.run_module(sys.argv.pop(1), run_name="__main__")
"""


def run_script(module: str, directory: Path) -> str:
    """What ``module`` prints when it gets ``directory``. Raises AssertionError if it fails.

    The checkout comes last on its path, as in conftest.py: an installed wheel is what is tested."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(ROOT), module, str(directory)],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
