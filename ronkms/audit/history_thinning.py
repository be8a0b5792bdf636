"""Which checkpoints of the history stay as they grow old (docs/formats/checkpoint.md, "History"). No I/O.

The tree proves any two sizes against each other and the newest checkpoint covers them all, so what leaves
takes no proof along: only how finely the log's past is dated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, TypeVar

from ronkms.audit.note import Note
from ronkms.errors import IntegrityError

DAY_SECONDS: Final = 86400
_HOUR_SECONDS: Final = 3600
_TIMED_BYTES: Final = 8 + 2420
"""A timestamp and an ML-DSA-44 signature."""

_Entry = TypeVar("_Entry")


class Stamp(NamedTuple):
    """When a checkpoint was signed (Unix seconds; None if it does not say) and the ids of the log's keys that
    signed it."""

    at: int | None
    keys: frozenset[bytes]

    @staticmethod
    def of(note: str) -> Stamp:
        """What the note says; no signature is verified."""
        try:
            parsed = Note.parse(note)
        except IntegrityError:
            return Stamp(None, frozenset())
        origin = parsed.text.partition("\n")[0]
        own = [line for line in parsed.signatures if line.name == origin]
        times = [line.signature[:8] for line in own if len(line.signature) == _TIMED_BYTES]
        at = int.from_bytes(times[0], "big") if times else None
        return Stamp(at, frozenset(line.key_id for line in own))


def thinned(
    entries: Iterable[tuple[_Entry, Stamp]], *, now: float, retention_days: float
) -> Iterator[_Entry]:
    """Those that stay, in order: all of the last day; the last of each hour until they are ``retention_days``
    old, then of each day; at every change of keys the one before and the one behind; and what bears no time.

    ``now``: Unix seconds."""
    before: tuple[_Entry, Stamp] | None = None
    first_of_keys = False
    for entry, stamp in entries:
        if before is not None:
            change = stamp.keys != before[1].keys
            if first_of_keys or change or not _together(before[1], stamp, now, retention_days):
                yield before[0]
            first_of_keys = change
        before = entry, stamp
    if before is not None:
        yield before[0]


def _together(one: Stamp, following: Stamp, now: float, retention_days: float) -> bool:
    if one.at is None or following.at is None:
        return False
    if now - max(one.at, following.at) < DAY_SECONDS:
        return False
    span = _HOUR_SECONDS if now - one.at < retention_days * DAY_SECONDS else DAY_SECONDS
    return one.at // span == following.at // span
