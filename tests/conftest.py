"""Makes ``tests.*`` importable without shadowing the installed ``ronkms`` wheel by the source tree."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:
    sys.path.append(ROOT)
