"""Whether the log says that the segments left that are not there, for the offline verifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ronkms.audit.finding import Finding
from ronkms.audit.retention_state import OPERATION, Removal
from ronkms.audit.segments import segment_name


class RecordedRemovals:
    """Fed with the records in order."""

    def __init__(self) -> None:
        self._known: list[tuple[int, Removal]] = []

    def fault(self, record: Mapping[str, Any]) -> str:
        """What is wrong with the next record; empty if nothing is."""
        if record.get("op") != OPERATION:
            return ""
        try:
            removal = msgspec.convert(record.get("retention"), Removal)
        except msgspec.ValidationError:
            return "records no removal"
        if removal.records > record["seq"] or (
            self._known and removal.segments < self._known[-1][1].segments
        ):
            return "records a removal that cannot have been"
        self._known.append((record["seq"], removal))
        return ""

    def missing(self, first_segment: int, first_record: int, signed: int) -> Finding | None:
        """Why the segments before ``first_segment`` should be there; None if they left by intent.

        ``first_record``: number of the first record that is there. ``signed``: size of the largest checkpoint
        that holds."""
        gone = first_segment - 1
        reasons = [(record, removal) for record, removal in self._known if removal.segments >= gone]
        if not reasons:
            known = self._known[-1][1].segments if self._known else 0
            return Finding(segment_name(known + 1), "is missing, and no record says that it was removed")
        for record, removal in reasons:
            if removal.segments == gone and removal.records != first_record:
                said = f"record {record} says that {removal.records} were removed"
                return Finding(segment_name(first_segment), f"begins with record {first_record}; {said}")
        # A newer one, of what is to leave next, may wait for its checkpoint still.
        record = reasons[0][0]
        if record >= signed:
            what = f"is missing, and record {record}, which says that it was removed, is under no checkpoint"
            return Finding(segment_name(gone), what)
        return None
