"""Benchmarks: figures are ratios against a baseline measured in the same run.

What is measured is the installed wheel: the checkout, first on the path under ``python -m``, goes last.
"""

import sys
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parent.parent)
sys.path[:] = [entry for entry in sys.path if entry not in ("", _ROOT)] + [_ROOT]
