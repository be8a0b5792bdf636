"""The body of an audit record: bounded, compact JSON (docs/formats/audit.md). No I/O."""

from __future__ import annotations

from typing import Final

import msgspec

from ronkms.audit.escrow import Escrow
from ronkms.audit.retention_state import Removal

VERSION: Final = 1

MAX_NAME: Final = 128
"""Longest key id, tenant, correlation id or algorithm that is kept; anything else is cut."""
MAX_DETAIL: Final = 256
_CUT: Final = "…"

_encoder: Final = msgspec.json.Encoder()


class Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fields in the order of the line, after ``seq``, ``prev`` and ``time``. Empty ones are left out."""

    v: int
    op: str
    outcome: str
    tenant: str
    token: str
    corr_id: str
    key_id: str = ""
    key_version: int = 0
    alg: str = ""
    code: str = ""
    digest: str = ""
    dk: int = 0
    detail: str = ""
    phase: str = ""
    pid: int = 0
    items: int = 0
    keys: dict[str, int] = {}
    counts: dict[str, int] = {}
    check: str = ""
    escrow: Escrow | None = None
    retention: Removal | None = None


def encode_body(body: Body) -> bytes:
    """The record without its opening brace, as ``ronkms_native.AuditLog.append`` takes it."""
    try:
        return _encoder.encode(body)[1:]
    except UnicodeEncodeError:
        return _encoder.encode(_without_surrogates(body))[1:]


def bounded(text: str, limit: int = MAX_NAME) -> str:
    """``text``, or its beginning with ``…`` if it is longer than ``limit`` characters."""
    return text if len(text) <= limit else text[: limit - 1] + _CUT


def _without_surrogates(body: Body) -> Body:
    texts = {
        name: value.encode(errors="replace").decode()
        for name, value in msgspec.structs.asdict(body).items()
        if isinstance(value, str)
    }
    return msgspec.structs.replace(body, **texts)
