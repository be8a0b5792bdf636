"""A record in the format of a sink."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from ronkms.audit.export import FORMATS
from ronkms.audit.follower import Followed
from ronkms.audit.records import AuditRecord

Encode = Callable[[Followed], bytes]
"""One line of UTF-8 without its newline."""

_fields: Final = msgspec.json.Decoder(dict[str, Any])


def encoder(form: str) -> Encode:
    """For one of ``export.FORMATS``. What it gives raises IntegrityError for an impossible record."""
    if form == "jsonl":
        return _line
    encode = FORMATS[form]
    return lambda record: encode(AuditRecord(record.line, record.leaf.hex(), _fields.decode(record.line)))


def _line(record: Followed) -> bytes:
    return record.line
