"""One event as a line of the bus journal (docs/formats/bus.md). No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

VERSION: Final = 1
MAX_LINE: Final = 1 << 16


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """``time`` is UTC; fields hold names and numbers, never a secret."""

    v: int = VERSION
    seq: int
    time: datetime
    event: str
    fields: Mapping[str, str | int]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


def make_event(seq: int, seconds: float, event: str, fields: Mapping[str, str | int]) -> Event:
    """An event that happened at ``seconds`` (Unix time)."""
    return Event(seq=seq, time=datetime.fromtimestamp(seconds, UTC), event=event, fields=fields)


def encode_event(event: Event) -> bytes:
    """One line with its newline. Raises ValueError: over 64 KiB."""
    line = _encoder.encode(event) + b"\n"
    if len(line) > MAX_LINE:
        raise ValueError(f"an event has at most {MAX_LINE} bytes")
    return line


def decode_event(line: bytes) -> Event | None:
    """The event, or None for a line that is damaged or of an unknown version."""
    try:
        event = _decoder.decode(line)
    except msgspec.DecodeError:
        return None
    return event if event.v == VERSION else None
