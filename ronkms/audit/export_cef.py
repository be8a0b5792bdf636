"""An audit record as a line of ArcSight Common Event Format, version 0 (docs/formats/audit-export.md)."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from ronkms import __version__
from ronkms.audit.records import AuditRecord

_HEADER_ESCAPED: Final = re.compile(r"[\\|]")
_VALUE_ESCAPED: Final = re.compile(r"[\\=]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")

SEVERITY: Final = {"ok": 1, "invalid": 3, "shed": 3, "rejected": 4, "denied": 6, "error": 8}
"""0 to 3 is low, 4 to 6 medium, 7 and 8 high, 9 and 10 very high."""
_UNKNOWN_SEVERITY: Final = 5

_KEYS: Final = {
    "seq": "externalId",
    "outcome": "outcome",
    "code": "reason",
    "detail": "msg",
    "token": "suid",
    "tenant": "cs1",
    "key_id": "cs2",
    "alg": "cs3",
    "corr_id": "cs4",
    "digest": "cs5",
    "key_version": "cn1",
    "items": "cn2",
    "phase": "flexString1",
}
"""Extension key of each field of the record."""
_LABELS: Final = {
    "tenant": "tenant",
    "key_id": "keyId",
    "alg": "alg",
    "corr_id": "corrId",
    "digest": "inputDigest",
    "key_version": "keyVersion",
    "items": "items",
    "phase": "phase",
}
_IN_HEADER: Final = frozenset({"v", "op", "time", "prev"})


def cef_line(record: AuditRecord) -> bytes:
    """UTF-8, one line without its newline. Raises IntegrityError: the record's time is impossible."""
    fields = record.fields
    op, outcome = str(fields.get("op", "")), str(fields.get("outcome", ""))
    header = (
        "CEF:0",
        "ron-kms",
        "ron-kms",
        __version__,
        op,
        f"{op} {outcome}",
        str(SEVERITY.get(outcome, _UNKNOWN_SEVERITY)),
    )
    return ("|".join(map(escape_header, header)) + "|" + _extension(record)).encode(errors="replace")


def escape_header(text: str) -> str:
    """A header field: backslash and pipe escaped; it cannot hold a line break, so a space stands for one."""
    if text.isascii() and text.isprintable() and "|" not in text and "\\" not in text:
        return text
    return _HEADER_ESCAPED.sub(r"\\\g<0>", _CONTROL.sub(" ", text))


def escape_value(text: str) -> str:
    """The value of an extension: backslash and equals escaped, line breaks as ``\\n`` and ``\\r``."""
    if text.isascii() and text.isprintable() and "=" not in text and "\\" not in text:
        return text
    escaped = _VALUE_ESCAPED.sub(r"\\\g<0>", text).replace("\n", r"\n").replace("\r", r"\r")
    return _CONTROL.sub(" ", escaped)


def _extension(record: AuditRecord) -> str:
    fields = record.fields
    pairs = [("rt", str(record.milliseconds))]
    for name, key in _KEYS.items():
        if name not in fields:
            continue
        pairs.append((key, _text(fields[name])))
        if name in _LABELS:
            pairs.append((f"{key}Label", _LABELS[name]))
    pairs += [("cs6", record.leaf), ("cs6Label", "leafHash")]
    rest = {name: value for name, value in fields.items() if name not in _KEYS and name not in _IN_HEADER}
    if rest:
        pairs += [("flexString2", msgspec.json.encode(rest).decode()), ("flexString2Label", "otherFields")]
    return " ".join(f"{key}={escape_value(value)}" for key, value in pairs)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
