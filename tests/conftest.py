"""Makes ``tests.*`` importable without shadowing the installed ``ronkms`` wheel by the source tree.

Generated cases have no time limit: how long one takes says how busy the machine is.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:
    sys.path.append(ROOT)

settings.register_profile("ronkms", deadline=None)
settings.load_profile("ronkms")
