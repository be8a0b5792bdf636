"""What the lines of a log say about digest keys (docs/formats/audit-digest.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ronkms.audit.digest_epochs import ANNOUNCEMENT
from ronkms.audit.segments import list_segments

_MARK: Final = f'"op":"{ANNOUNCEMENT}"'.encode()
"""Stands in announcements only: in a text of the body its quotes would be escaped."""
_CHUNK: Final = 1 << 20


def holds_announcement(directory: Path) -> bool:
    """Whether an epoch is announced in the segments here. Reads them all. Raises OSError."""
    for segment in list_segments(directory):
        with segment.path.open("rb") as file:
            end = b""
            while chunk := file.read(_CHUNK):
                if _MARK in end + chunk:
                    return True
                end = chunk[-len(_MARK) :]
    return False


class AnnouncedEpochs:
    """Held against the records in their order: who announced what, and who uses what nobody announced."""

    def __init__(self, *, from_start: bool) -> None:
        """``from_start``: the first record is there, so that no announcement can be before it."""
        self._from_start = from_start
        self._checks: dict[int, str] = {}

    def fault(self, record: Mapping[str, Any]) -> str:
        """What is wrong with the next record; empty if nothing is."""
        epoch = record.get("dk")
        if record.get("op") == ANNOUNCEMENT:
            return self._announced(epoch, record.get("check"))
        if epoch is None:
            return ""
        if not isinstance(epoch, int) or isinstance(epoch, bool):
            return "names no digest key"
        if epoch not in self._checks and (self._from_start or epoch > max(self._checks, default=epoch)):
            return f"has a digest of epoch {epoch}, which was not announced"
        return ""

    def _announced(self, epoch: object, check: object) -> str:
        if not isinstance(epoch, int) or not isinstance(check, str):
            return "announces no digest key"
        if self._checks.setdefault(epoch, check) != check:
            return f"announces epoch {epoch} again, with another key"
        due = max((known for known in self._checks if known != epoch), default=0) + 1
        if epoch > due and (self._from_start or len(self._checks) > 1):
            return f"announces epoch {epoch} where {due} is due"
        return ""
