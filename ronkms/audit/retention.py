"""Ends segments by age, copies ended ones to the archive, removes old ones (docs/formats/audit-archive.md).

For one thread of the admin process. The order makes every crash harmless: the copy is on disk before the
record that says that a segment leaves, and that is under a signed checkpoint before the segment is
removed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import structlog

from ronkms.audit.archive import Archive
from ronkms.audit.retention_state import Removal, Removed, read_removed, write_removed
from ronkms.audit.segment_ends import first_of, last_of
from ronkms.audit.segments import Segment, list_segments, torn_of
from ronkms.audit.tree_state import newest_checkpoint
from ronkms.errors import AuditUnavailable, KmsError
from ronkms.journal.durable_file import sync_directory

STAYING: Final = 2
"""The newest segments, which always stay: the start reads them."""
FILES_A_TURN: Final = 4
"""Copied, and removed, at most: each may be large."""
SYSTEM: Final = "system:retention"
DAY_SECONDS: Final = 86400

_log = structlog.get_logger()


class RolledLog(Protocol):
    """The part of ``ronkms_native.AuditLog`` that is used here."""

    def roll(self) -> bool: ...


class RemovalTrail(Protocol):
    """``ronkms.audit.log.AuditLogTrail``."""

    def record_removal(self, removal: Removal, *, token_id: str, corr_id: str) -> int: ...


class RetentionRules(NamedTuple):
    """0 for never."""

    segment_seconds: int
    retention_days: float


class Done(NamedTuple):
    """How many segments a turn copied and removed, and whether it failed."""

    copied: int = 0
    removed: int = 0
    failed: bool = False


class Retention:
    """``needed``: each gives the number of the oldest segment that somebody still has to read; an OSError or
    KmsError of theirs lets nothing leave."""

    def __init__(
        self,
        directory: Path,
        *,
        rules: RetentionRules,
        archive: Archive | None,
        log: RolledLog,
        trail: RemovalTrail,
        needed: Sequence[Callable[[], int]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._rules = rules
        self._archive = archive
        self._log = log
        self._trail = trail
        self._needed = needed
        self._clock = clock
        self._fault = ""

    def turn(self) -> Done:
        """Does what is due, a bounded part of it. A failure is logged once, and tried again the next time."""
        copied = removed = 0
        try:
            self._end_old_segment()
            copied = self._copy_ended()
            removed = self._remove_recorded()
            self._record_removal()
        except AuditUnavailable:  # told by readiness
            return Done(copied, removed)
        except (KmsError, OSError) as error:
            if str(error) != self._fault:
                self._fault = str(error)
                _log.error("audit_retention_failed", error=self._fault)
            return Done(copied, removed, failed=True)
        self._fault = ""
        return Done(copied, removed)

    def _end_old_segment(self) -> None:
        if not self._rules.segment_seconds:
            return
        begun = first_of(list_segments(self._directory)[-1].path)
        if begun is not None and self._clock() >= begun.time + self._rules.segment_seconds:
            self._log.roll()

    def _copy_ended(self) -> int:
        if self._archive is None:
            return 0
        missing = [each for each in self._covered() if not self._archive.has(each.path.name)]
        for segment in missing[:FILES_A_TURN]:
            self._archive.store(segment.path)
        return len(missing[:FILES_A_TURN])

    def _remove_recorded(self) -> int:
        """Removes what the newest record of a removal says, once that is under a checkpoint."""
        removed = read_removed(self._directory)
        leaving = [each for each in list_segments(self._directory) if each.number <= removed.segments]
        if not leaving or removed.record >= self._checkpoint_size():
            return 0
        for segment in leaving:
            for torn in torn_of(self._directory, segment.number):
                torn.unlink()
            segment.path.unlink()
        sync_directory(self._directory)
        _log.info("audit_segments_removed", up_to=removed.segments, records=removed.records)
        return len(leaving)

    def _record_removal(self) -> None:
        if not self._rules.retention_days:
            return
        leaving, first = self._leaving()
        if not leaving:
            return
        if self._archive is not None:
            for segment in leaving:
                self._archive.store(segment.path)
                for torn in torn_of(self._directory, segment.number):
                    self._archive.store(torn)
        removal = Removal(leaving[-1].number, first, archived=self._archive is not None)
        record = self._trail.record_removal(removal, token_id=SYSTEM, corr_id=secrets.token_hex(16))
        write_removed(self._directory, Removed(segments=removal.segments, records=first, record=record))

    def _leaving(self) -> tuple[list[Segment], int]:
        """(segments that may leave, oldest first; number of the first record that stays)."""
        segments = list_segments(self._directory)
        if not segments or segments[0].number <= read_removed(self._directory).segments:
            return [], 0  # what was recorded before has not left yet
        covered = {segment.number for segment in self._covered()}
        oldest_needed = min((needed() for needed in self._needed), default=segments[-1].number)
        before = self._clock() - self._rules.retention_days * DAY_SECONDS
        leaving: list[Segment] = []
        first = 0
        for segment, following in pairwise(segments[: 1 - STAYING]):
            behind = first_of(following.path)
            if (
                len(leaving) == FILES_A_TURN
                or segment.number not in covered
                or segment.number >= oldest_needed
                or behind is None
                or behind.time >= before
            ):
                break
            leaving.append(segment)
            first = behind.seq
        return leaving, first

    def _covered(self) -> list[Segment]:
        """Ended segments whose records are all under the newest checkpoint, oldest first."""
        size = self._checkpoint_size()
        covered = []
        for segment, following in pairwise(list_segments(self._directory)):
            behind = first_of(following.path)
            end = behind.seq if behind is not None else _end_of(segment)
            if end > size:
                break
            covered.append(segment)
        return covered

    def _checkpoint_size(self) -> int:
        checkpoint = newest_checkpoint(self._directory)
        return 0 if checkpoint is None else checkpoint.size


def _end_of(segment: Segment) -> int:
    last = last_of(segment.path)
    return 0 if last is None else last.seq + 1
