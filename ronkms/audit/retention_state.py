"""What has left the directory of a log by intent (docs/formats/audit-archive.md)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ronkms.audit.segments import list_segments, segment_name
from ronkms.errors import IntegrityError
from ronkms.journal.durable_file import replace_file

FILE: Final = "retention.json"
VERSION: Final = 1
OPERATION: Final = "retention"
"""``op`` of the record of a removal; no capability grants it."""

_Count = Annotated[int, Meta(ge=0)]


class Removal(msgspec.Struct, frozen=True):
    """As a record of the log says it: segments 1 to ``segments``, with records 0 to ``records`` - 1."""

    segments: _Count
    records: _Count
    archived: bool


class Removed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest removal. ``record``: number of the record that says it, -1 for none."""

    v: int = VERSION
    segments: _Count = 0
    records: _Count = 0
    record: int = -1


def read_removed(directory: Path) -> Removed:
    """Of the log in ``directory``. Raises IntegrityError, OSError."""
    try:
        raw = (directory / FILE).read_bytes()
    except FileNotFoundError:
        return Removed()
    try:
        found = msgspec.json.decode(raw, type=Removed)
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"audit: {FILE} is damaged: {error}; restore it from a backup") from None
    if found.v != VERSION:
        raise IntegrityError(f"audit: {FILE} has version {found.v}, which is not known here")
    return found


def write_removed(directory: Path, removed: Removed) -> None:
    """Durable when it returns. Raises OSError."""
    replace_file(directory / FILE, msgspec.json.encode(removed))


def check_present(directory: Path) -> None:
    """Every segment that did not leave by intent must be here. Raises IntegrityError, OSError."""
    numbers = [segment.number for segment in list_segments(directory)]
    if not numbers:
        return
    removed = read_removed(directory)
    due = removed.segments + 1
    if numbers[0] > due:
        raise IntegrityError(
            f"audit: {segment_name(due)} is missing, and audit_retention_days did not remove it: put it back"
        )
    for number, following in pairwise(numbers):
        if following != number + 1 and following > due:
            raise IntegrityError(f"audit: {segment_name(max(number + 1, due))} is missing: put it back")
