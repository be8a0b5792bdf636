"""Reads the recorded log again and again, a slice at a time, and compares it with the tree.

So a change of old records under a running server is found, and counted, before the next start.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from ronkms.audit.follower import LogFollower, first_record
from ronkms.audit.merkle import HASH_BYTES
from ronkms.audit.retention_state import check_present, read_removed
from ronkms.audit.tree_state import tree_reader
from ronkms.errors import IntegrityError

_log = structlog.get_logger()


class LogRecheck:
    """``count_failure`` is called once for each fault that was not known."""

    def __init__(self, directory: Path, count_failure: Callable[[], object]) -> None:
        self._directory = directory
        self._count_failure = count_failure
        self._tree = tree_reader(directory)
        self._follower: LogFollower | None = None
        self._begun = 0
        self._known: set[str] = set()

    @property
    def faults(self) -> frozenset[str]:
        """What was found so far."""
        return frozenset(self._known)

    def turn(self) -> None:
        """Checks the next megabyte, or begins anew behind the last. Raises OSError."""
        try:
            self._slice()
        except IntegrityError as error:
            if self._follower is not None:
                self._begun = self._follower.record
            self._follower = None
            if self._begun < read_removed(self._directory).records:
                return  # what it read has left meanwhile
            fault = str(error)
            if fault not in self._known:
                self._known.add(fault)
                self._count_failure()
                _log.error("audit_integrity_failed", error=fault, advice="keep the directory as evidence")

    def _slice(self) -> None:
        size = self._tree.leaves()
        if self._follower is None:
            if not size:
                return
            record, leaf = first_record(self._directory)
            self._begun = record
            check_present(self._directory)
            if record and leaf != self._tree.node(0, record - 1):
                raise IntegrityError(f"record {record} does not follow on the archived ones")
            self._follower = LogFollower(self._directory, record, leaf)
        follower = self._follower
        start = follower.record
        leaves = follower.read(size)
        due = b"".join(self._tree.nodes(0, start, len(leaves) // HASH_BYTES))
        if leaves != due:
            self._tree.node(0, follower.record - 1)  # says so if the tree became shorter
            at = next(at for at in range(0, len(leaves), HASH_BYTES) if not _equal(leaves, due, at))
            raise IntegrityError(
                f"record {start + at // HASH_BYTES} in {follower.segment} was changed after it was written"
            )
        if not leaves:
            if start < size:
                raise IntegrityError(f"the log ends with record {start - 1}; {size} were recorded")
            self._follower = None


def _equal(leaves: bytes, due: bytes, at: int) -> bool:
    return leaves[at : at + HASH_BYTES] == due[at : at + HASH_BYTES]
