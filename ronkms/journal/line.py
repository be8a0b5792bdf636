"""The framing of journal lines and of the head, and their MACs (docs/formats/journal.md). No I/O."""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest
from typing import Final, NamedTuple

Mac = Callable[[str, bytes], bytes]
"""``ronkms_native.Custody.mac``: HMAC-SHA-256 (32 bytes) of data under a key derived for a label."""

MAC_SIZE: Final = 32
MAX_ENTRY: Final = 1 << 20
CHAIN_START: Final = bytes(MAC_SIZE)

_MAC: Final = b'{"mac":"'
_SEQ: Final = b'","seq":'
_ENTRY: Final = b',"entry":'
_SEAL: Final = b',"seal":"'
_LINE_END: Final = b"}\n"
_HEAD_END: Final = b'"}\n'
_SEQ_AT: Final = len(_MAC) + 2 * MAC_SIZE
_NUMBER_AT: Final = _SEQ_AT + len(_SEQ)
_MAX_DIGITS: Final = 20
MAX_LINE: Final = _NUMBER_AT + _MAX_DIGITS + len(_ENTRY) + MAX_ENTRY + len(_LINE_END)


class Position(NamedTuple):
    """A place in the chain: the number and MAC of an entry. ``(0, zeros)`` is before the first."""

    seq: int
    mac: bytes


class LineCodec:
    """Frames, parses and authenticates the lines and the head of one journal."""

    def __init__(self, name: str, mac: Mac) -> None:
        self._mac = mac
        self._line_label = f"ron-kms journal v1 {name}"
        self._head_label = f"ron-kms journal head v1 {name}"

    def line(self, previous: Position, entry: bytes) -> tuple[bytes, Position]:
        """The line that follows ``previous``, and its position.

        Raises ValueError: empty, over 1 MiB, or with a newline."""
        if not entry or len(entry) > MAX_ENTRY or b"\n" in entry:
            raise ValueError("a journal entry is 1 byte to 1 MiB without a newline")
        seq = previous.seq + 1
        mac = self._mac(self._line_label, previous.mac + seq.to_bytes(8, "big") + entry)
        line = b"".join((_MAC, mac.hex().encode(), _SEQ, b"%d" % seq, _ENTRY, entry, _LINE_END))
        return line, Position(seq, mac)

    def entry(self, previous: Position | None, line: bytes) -> tuple[bytes, Position] | None:
        """The entry in ``line`` and its position, or None if it is not the authentic next line.

        ``previous`` None: the first line of a file, which may have any number.
        """
        if not (line.startswith(_MAC) and line[_SEQ_AT:_NUMBER_AT] == _SEQ and line.endswith(_LINE_END)):
            return None
        number_end = line.find(_ENTRY, _NUMBER_AT, _NUMBER_AT + _MAX_DIGITS + len(_ENTRY))
        if number_end < 0:
            return None
        digits = line[_NUMBER_AT:number_end]
        if not digits.isdigit():
            return None
        seq = int(digits)
        if previous is None:
            previous = Position(seq - 1, CHAIN_START)
        if seq != previous.seq + 1 or not 1 <= seq < 1 << 64 or b"%d" % seq != digits:
            return None
        entry = line[number_end + len(_ENTRY) : -len(_LINE_END)]
        mac = self._mac(self._line_label, previous.mac + seq.to_bytes(8, "big") + entry)
        if not compare_digest(mac.hex().encode(), line[len(_MAC) : _SEQ_AT]):
            return None
        return entry, Position(seq, mac)

    def head(self, position: Position) -> bytes:
        """The content of the head file that commits everything up to ``position``."""
        seal = self._mac(self._head_label, position.seq.to_bytes(8, "big") + position.mac)
        number = b"%d" % position.seq
        return b"".join(
            (_MAC, position.mac.hex().encode(), _SEQ, number, _SEAL, seal.hex().encode(), _HEAD_END)
        )

    def position(self, head: bytes) -> Position | None:
        """The position in the content of a head file, or None if it is not authentic."""
        digits = head[_NUMBER_AT:].partition(_SEAL)[0]
        if not digits.isdigit() or len(digits) > _MAX_DIGITS or int(digits) >= 1 << 64:
            return None
        try:
            mac = bytes.fromhex(head[len(_MAC) : _SEQ_AT].decode("ascii"))
        except ValueError:
            return None
        position = Position(int(digits), mac)
        return position if compare_digest(self.head(position), head) else None
