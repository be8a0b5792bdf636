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
        self._newest: tuple[int, Removal] | None = None

    def fault(self, record: Mapping[str, Any]) -> str:
        """What is wrong with the next record; empty if nothing is."""
        if record.get("op") != OPERATION:
            return ""
        try:
            removal = msgspec.convert(record.get("retention"), Removal)
        except msgspec.ValidationError:
            return "records no removal"
        if removal.records > record["seq"] or (
            self._newest is not None and removal.segments < self._newest[1].segments
        ):
            return "records a removal that cannot have been"
        self._newest = record["seq"], removal
        return ""

    def missing(self, first_segment: int, first_record: int, signed: int) -> Finding | None:
        """Why the segments before ``first_segment`` should be there; None if they left by intent.

        ``first_record``: number of the first record that is there. ``signed``: size of the largest checkpoint
        that holds."""
        if self._newest is None or self._newest[1].segments < first_segment - 1:
            known = 0 if self._newest is None else self._newest[1].segments
            return Finding(segment_name(known + 1), "is missing, and no record says that it was removed")
        record, removal = self._newest
        if removal.segments == first_segment - 1 and removal.records != first_record:
            what = (
                f"begins with record {first_record}; record {record} says that {removal.records} were removed"
            )
            return Finding(segment_name(first_segment), what)
        if record >= signed:
            what = f"is missing, and record {record}, which says that it was removed, is under no checkpoint"
            return Finding(segment_name(first_segment - 1), what)
        return None
