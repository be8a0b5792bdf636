"""Exports audit records for other systems, offline (docs/formats/audit-export.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from ronkms.audit.export_cef import cef_line
from ronkms.audit.export_ocsf import ocsf_line
from ronkms.audit.records import AuditRecord, read_directory


def _as_it_stands(record: AuditRecord) -> bytes:
    return record.line


FORMATS: Final[dict[str, Callable[[AuditRecord], bytes]]] = {
    "jsonl": _as_it_stands,
    "cef": cef_line,
    "ocsf": ocsf_line,
}
"""What one record becomes: a line of UTF-8 without its newline."""


class Selection(NamedTuple):
    """Which records; what is None selects all. ``since`` is included, ``until`` is not."""

    since: datetime | None = None
    until: datetime | None = None
    tenant: str | None = None
    op: str | None = None

    def takes(self, record: AuditRecord) -> bool:
        """Raises IntegrityError: the record has no time that can be compared."""
        fields = record.fields
        if self.tenant is not None and fields.get("tenant", "") != self.tenant:
            return False
        if self.op is not None and fields.get("op") != self.op:
            return False
        if self.since is None and self.until is None:
            return True
        time = record.time
        return (self.since is None or time >= self.since) and (self.until is None or time < self.until)


def export_directory(
    directory: Path, form: str, selection: Selection, archive: Path | None = None
) -> Iterator[bytes]:
    """The selected records in the order of the log, one of :data:`FORMATS`, each with its newline.

    Every record is held to the chain, selected or not. Raises OSError, IntegrityError."""
    encode = FORMATS[form]
    for record in read_directory(directory, archive):
        if selection.takes(record):
            yield encode(record) + b"\n"
