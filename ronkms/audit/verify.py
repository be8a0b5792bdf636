"""Proves a whole log offline, from its files alone (docs/formats/audit.md).

Found are: a changed, missing, doubled or reordered record, a missing segment, a cut in the middle. A log
that was cut at its end or written anew as a whole is consistent in itself; that shows against an anchor that
was kept elsewhere (``ronctl audit head``), and against signed checkpoints. The code here
shares nothing with the code that writes the log.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from ronkms.audit.archive import differing_copies
from ronkms.audit.digest_lines import AnnouncedEpochs
from ronkms.audit.finding import Finding
from ronkms.audit.merkle import leaf_hash
from ronkms.audit.note import NoteKey
from ronkms.audit.segments import Segment, lines_of, list_segments, list_torn, segment_name
from ronkms.audit.verify_checkpoints import CheckpointProof, KeptNote
from ronkms.audit.verify_removals import RecordedRemovals
from ronkms.errors import Unavailable

MAX_PROBLEMS: Final = 20
MAX_RESTARTS: Final = 10
_ORIGIN: Final = "0" * 64
_LINK: Final = re.compile(
    rb'\{"seq":(0|[1-9][0-9]{0,18}),"prev":"([0-9a-f]{64})",'
    rb'"time":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6})Z",.*\}'
)


class Anchor(NamedTuple):
    """A head that was noted earlier: ``records`` in the log, ``leaf`` the hex hash of the last of them."""

    records: int
    leaf: str


class Report(msgspec.Struct):
    """What a verification found. The log is good if there is no problem."""

    first_record: int = 0
    """Number of the first record that was here to verify."""
    records: int = 0
    """How many records the log has, archived ones included."""
    segments: int = 0
    checkpoints: int = 0
    """How many signed checkpoints the records were proven against."""
    leaf: str = _ORIGIN
    """Leaf hash of the last record in the unbroken part."""
    first_time: str = ""
    last_time: str = ""
    problems: list[Finding] = msgspec.field(default_factory=list)
    warnings: list[Finding] = msgspec.field(default_factory=list)

    @property
    def good(self) -> bool:
        """True if nothing was changed, cut, reordered or rolled back, as far as this can be seen."""
        return not self.problems


def verify_directory(
    directory: Path,
    *,
    anchor: Anchor | None = None,
    archived: bool = False,
    archive: Path | None = None,
    keys: Sequence[NoteKey] = (),
    kept: Sequence[KeptNote] = (),
) -> Report:
    """Verifies every record of every segment, and every checkpoint, of a running server too.

    Raises OSError, Unavailable.

    ``archived``: the segments before the first one here may be missing without a record that says so.
    ``archive``: where segments that left were copied to; then the whole log must be there. ``keys``: of the
    checkpoints; the directory's own without any. ``kept``: checkpoints that were kept elsewhere."""
    for _ in range(MAX_RESTARTS):
        first = list_segments(directory)[:1]
        try:
            proof = CheckpointProof(directory, keys, kept)
            report = _Verification(anchor, proof, archived=archived, archive=archive).run(directory)
        except FileNotFoundError:
            if list_segments(directory)[:1] == first:
                raise
            continue
        if report.good or list_segments(directory)[:1] == first:
            return report
        # The server runs, and old segments have left between the looks at checkpoints and records.
    raise Unavailable(f"{directory}: segments leave faster than they are read; give --archive")


class _Verification:
    def __init__(
        self, anchor: Anchor | None, checkpoints: CheckpointProof, *, archived: bool, archive: Path | None
    ) -> None:
        self._anchor = anchor
        self._checkpoints = checkpoints
        self._archived = archived
        self._archive = archive
        self._starts_late = False
        self._removals = RecordedRemovals()
        self._report = Report()
        self._time: datetime | None = None
        self._epochs: AnnouncedEpochs | None = None

    def run(self, directory: Path) -> Report:
        report = self._report
        segments = list_segments(directory, self._archive)
        if not segments:
            report.problems.append(Finding(str(directory), "holds no audit segment"))
        first = segments[0].number if segments and self._archive is None else 1
        self._starts_late = first > 1
        if self._archive is not None:
            report.problems += differing_copies(directory, self._archive)
        for expected, segment in enumerate(segments, start=first):
            if segment.number != expected:
                report.problems.append(
                    Finding(segment.path.name, f"segment {expected} is missing before this one")
                )
                break
            report.segments += 1
            if not self._follow(segment, last=segment is segments[-1]):
                break
        places = (directory, self._archive) if self._archive is not None else (directory,)
        for torn in (torn for place in places for torn in list_torn(place)):
            report.warnings.append(Finding(torn.name, "the torn end of a record that a crash interrupted"))
        if self._anchor is not None and report.good and report.records < self._anchor.records:
            what = f"ends after {report.records} records, the anchor knows {self._anchor.records}"
            report.problems.append(Finding(str(directory), what + ": cut off or rolled back"))
        proof = self._checkpoints
        proof.finish()
        report.problems += proof.problems
        report.warnings += proof.warnings
        report.checkpoints = proof.proven
        self._look_for_removed(first)
        return report

    def _look_for_removed(self, first: int) -> None:
        report = self._report
        if not self._starts_late or not report.good:
            return
        missing = self._removals.missing(first, report.first_record, self._checkpoints.largest)
        if missing is not None and not self._archived:
            report.problems.append(missing)
            return
        what = (
            f"records 0 to {report.first_record - 1} have left: verified are their hashes, not their contents"
        )
        report.warnings.append(Finding(segment_name(first), what + "; give --archive"))

    def _follow(self, segment: Segment, *, last: bool) -> bool:
        """Follows the chain through one segment. False if it breaks, which ends the verification."""
        for line in lines_of(segment):
            where = f"{segment.path.name}:{line.number}"
            if not line.ended:
                what = "an unfinished record"
                if last:
                    self._report.warnings.append(
                        Finding(where, what + " at the very end: being written, or torn")
                    )
                    return True
                self._report.problems.append(Finding(where, what))
                return False
            fault = self._record(where, line.content)
            if fault:
                self._report.problems.append(Finding(where, fault))
                return False
        return True

    def _record(self, where: str, line: bytes) -> str:
        """What is wrong with the next record; empty if nothing is."""
        report = self._report
        link = _LINK.fullmatch(line)
        record = _object(line)
        if link is None or record is None:
            return "is not an audit record"
        seq, prev = int(link[1]), link[2].decode()
        if self._starts_late and not report.first_time:
            report.first_record, report.records, report.leaf = seq, seq, prev
            self._checkpoints.skip_archived(seq)
        if seq != report.records:
            return f"has number {seq} where {report.records} is due: removed, doubled or reordered"
        if prev != report.leaf:
            return "does not continue the chain: this record or the one before was changed"
        if self._epochs is None:
            self._epochs = AnnouncedEpochs(from_start=seq == 0)
        fault = self._epochs.fault(record) or self._removals.fault(record)
        if fault:
            return fault
        report.records += 1
        leaf = leaf_hash(line)
        report.leaf = leaf.hex()
        self._checkpoints.add(leaf)
        self._look_at_time(where, link[3].decode())
        anchor = self._anchor
        if anchor is not None and report.records == anchor.records and report.leaf != anchor.leaf:
            return "differs from the anchor: the log was written anew up to here"
        return ""

    def _look_at_time(self, where: str, text: str) -> None:
        report = self._report
        report.first_time = report.first_time or text + "Z"
        report.last_time = text + "Z"
        try:
            time = datetime.fromisoformat(text).replace(tzinfo=UTC)
        except ValueError:
            report.problems.append(Finding(where, "has an impossible time"))
            return
        if self._time is not None and time < self._time and len(report.warnings) < MAX_PROBLEMS:
            back = (self._time - time).total_seconds()
            report.warnings.append(
                Finding(where, f"is {back:.6f} s earlier than the record before: clock set back")
            )
        self._time = time


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
