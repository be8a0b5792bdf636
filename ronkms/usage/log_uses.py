"""What the records of the audit log say about uses of keys (docs/formats/usage.md)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
from ronkms_native import alike_records

from ronkms.domain.key_use import Uses
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import KeyDisabled

_USING: Final = frozenset({Operation.SIGN, Operation.VERIFY, Operation.WRAP, Operation.UNWRAP})
_DONE: Final = frozenset({Outcome.OK, Outcome.INVALID})


class UserOfKey(NamedTuple):
    """What :class:`LogUses` sums up by."""

    tenant: str
    key_id: str
    version: int
    op: str
    refused: bool
    token: str


class _Record(msgspec.Struct, gc=False):
    time: str
    op: str
    outcome: str
    tenant: str
    token: str
    key_id: str = ""
    key_version: int = 0
    code: str = ""
    items: int = 0
    keys: dict[str, int] = {}


_decoder: Final = msgspec.json.Decoder(_Record)


class LogUses:
    """Sums up the records that it is given, in the order of the log."""

    def __init__(self) -> None:
        self.since: int | None = None
        """Time of the first record."""
        self.by_user: dict[UserOfKey, Uses] = {}
        self._second = ""
        self._seconds = 0

    def take(self, lines: bytes) -> None:
        """Whole lines. Raises msgspec.DecodeError, ValueError: not of an audit log."""
        # Most records of a second say the same but for the fraction of the second, corr_id and digest.
        for line, times in alike_records(lines):
            self.take_line(line, times)

    def take_line(self, line: bytes, times: int = 1) -> None:
        """As :meth:`take`, one line that stands for so many."""
        record = _decoder.decode(line)
        at = self._time(record.time)
        if self.since is None:
            self.since = at
        if record.op not in _USING:
            return
        refused = record.outcome not in _DONE
        if refused and record.code != KeyDisabled.code:
            return
        for key_id, version, count in _used(record):
            user = UserOfKey(record.tenant, key_id, version, record.op, refused, record.token)
            uses = self.by_user.get(user)
            if uses is None:
                self.by_user[user] = Uses(first=at, last=at, token=record.token, count=count * times)
            else:
                uses.last = at
                uses.count += count * times

    def _time(self, text: str) -> int:
        # Most records have the second of the one before.
        second = text[:19]
        if second != self._second:
            self._seconds = int(datetime.fromisoformat(f"{second}+00:00").timestamp())
            self._second = second
        return self._seconds


def _used(record: _Record) -> Iterator[tuple[str, int, int]]:
    """(key id, version, count)."""
    if record.keys:
        for name, count in record.keys.items():
            key_id, _, version = name.rpartition("/")
            yield key_id, int(version), count
    elif record.key_id:
        yield record.key_id, record.key_version, record.items or 1
