"""The processes of a running server, as /proc shows them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

ESTABLISHED: Final = "01"
LISTEN: Final = "0A"


def descendants(pid: int) -> list[int]:
    """``pid`` and all processes below it, parents first."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found.extend(int(child) for child in task.read_text().split())
    return found


def proportional_memory(pids: list[int]) -> int:
    """Sum of the proportional set sizes (PSS) in bytes: shared pages count once over all ``pids``."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def sockets_at(pid: int, port: int, *, state: str) -> int:
    """How many TCP sockets with the local ``port`` a process holds; ``state`` as in /proc/net/tcp."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state and int(fields[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    held = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            held += str(descriptor.readlink()) in inodes
    return held


def listening_on(pid: int, port: int) -> bool:
    """True if ``pid`` holds a TCP socket that listens on ``port``."""
    return sockets_at(pid, port, state=LISTEN) > 0
