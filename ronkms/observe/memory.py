"""Resident memory of the server's processes together."""

from __future__ import annotations

import resource
from collections.abc import Iterable
from pathlib import Path

_PAGE = resource.getpagesize()


def resident_bytes(pids: Iterable[int]) -> int:
    """Sum of private resident memory, plus the largest shared part once; processes that are gone count 0.

    Pages that a worker still shares with the arbiter since the fork count in both: an upper bound.
    """
    private = 0
    shared = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/statm").read_text().split()
        except OSError:
            continue
        private += int(fields[1]) - int(fields[2])
        shared = max(shared, int(fields[2]))
    return (private + shared) * _PAGE
