"""Reads the records of a log directory in order, each held to the chain (docs/formats/audit.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from ronkms.audit.segments import Segment, lines_of, list_segments
from ronkms.errors import IntegrityError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class AuditRecord(NamedTuple):
    """One record."""

    line: bytes
    """As it stands in the file, without its newline."""
    leaf: str
    """Hex of its leaf hash, RFC 9162 section 2.1.1."""
    fields: dict[str, Any]

    @property
    def time(self) -> datetime:
        """When it was written, in UTC. Raises IntegrityError."""
        try:
            return datetime.fromisoformat(self.fields["time"]).astimezone(UTC)
        except (ValueError, OverflowError):
            raise IntegrityError(f"record {self.fields['seq']} has an impossible time") from None

    @property
    def milliseconds(self) -> int:
        """:attr:`time` in whole milliseconds since the Unix epoch, rounded down. Raises IntegrityError."""
        return (self.time - _EPOCH) // timedelta(milliseconds=1)


def read_directory(directory: Path, archive: Path | None = None) -> Iterator[AuditRecord]:
    """All records of ``directory``, and of ``archive`` before them; see :func:`read_segments`.

    Raises OSError, IntegrityError."""
    segments = list_segments(directory, archive)
    if not segments:
        raise IntegrityError(f"{directory} holds no audit segment")
    return read_segments(segments)


def read_segments(segments: Sequence[Segment]) -> Iterator[AuditRecord]:
    """The records of neighbouring segments, in constant memory, up to an unfinished line at the very end.

    The chain begins with the first record's own link. Raises OSError, IntegrityError: a record does not
    continue the chain; those before it were yielded."""
    seq, leaf = -1, ""
    for segment in segments:
        for line in lines_of(segment):
            where = f"{segment.path.name}:{line.number}"
            if not line.ended and segment is segments[-1]:
                return
            fields = _decode(line.content)
            if fields is None or not line.ended:
                raise IntegrityError(f"{where} is not an audit record; see ronctl audit verify")
            if leaf and (fields["seq"] != seq + 1 or fields["prev"] != leaf):
                raise IntegrityError(f"{where} does not continue the chain; see ronctl audit verify")
            seq, leaf = fields["seq"], hashlib.sha256(b"\x00" + line.content).hexdigest()
            yield AuditRecord(line.content, leaf, fields)


def _decode(line: bytes) -> dict[str, Any] | None:
    try:
        fields = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    linked = isinstance(fields.get("seq"), int) and isinstance(fields.get("prev"), str)
    return fields if linked and isinstance(fields.get("time"), str) else None
