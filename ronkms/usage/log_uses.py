"""What the records of the audit log say about uses of keys (docs/formats/usage.md)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

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


_TIME: Final = b'"time":"'
_SECOND: Final = 19
"""Of an RFC 3339 time, up to its seconds."""
_CORR_ID: Final = b',"corr_id":"'
_DIGEST: Final = b',"digest":"'

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
        second = b""
        counts: dict[bytes, int] = {}
        firsts: dict[bytes, bytes] = {}
        for line in lines.splitlines():
            # Most records of a second say the same but for the fraction of the second, corr_id and digest.
            begin = line.find(_TIME) + len(_TIME)
            corr_id = line.find(_CORR_ID, begin) + len(_CORR_ID)
            digest = line.find(_DIGEST, corr_id) + len(_DIGEST)
            if not len(_TIME) <= begin < corr_id < digest:
                self._take_alike(firsts, counts)
                self.take_line(line)
                continue
            if line[begin : begin + _SECOND] != second:
                self._take_alike(firsts, counts)
                second = line[begin : begin + _SECOND]
            same = (
                line[line.find(b'"', begin) : corr_id]
                + line[line.find(b'"', corr_id) : digest]
                + line[line.find(b'"', digest) :]
            )
            if same in counts:
                counts[same] += 1
            else:
                counts[same] = 1
                firsts[same] = line
        self._take_alike(firsts, counts)

    def _take_alike(self, firsts: dict[bytes, bytes], counts: dict[bytes, int]) -> None:
        for same, line in firsts.items():
            self.take_line(line, counts[same])
        firsts.clear()
        counts.clear()

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
