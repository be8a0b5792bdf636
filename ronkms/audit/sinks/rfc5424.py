"""Syslog messages (RFC 5424) and their framing on a stream (RFC 6587 section 3.4.1, RFC 5425). No I/O."""

from __future__ import annotations

import os
import re
import socket
from typing import Final, NamedTuple

import msgspec

from ronkms.audit.follower import Followed
from ronkms.audit.sinks.encoding import Encode
from ronkms.domain.audit_sink import FACILITIES

APP_NAME: Final = "ron-kms"
MSG_ID: Final = "audit"
SD_ID: Final = "ron-kms@32473"
"""32473: the private enterprise number for examples, RFC 5612."""

SEVERITY: Final = {"ok": 6, "invalid": 5, "shed": 5, "rejected": 4, "denied": 4, "error": 3}
"""RFC 5424 table 2: 3 error, 4 warning, 5 notice, 6 informational."""
_UNKNOWN_SEVERITY: Final = 5
_NIL: Final = "-"
_NOT_PRINTABLE: Final = re.compile(r"[^\x21-\x7e]")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z")


class _Facts(msgspec.Struct):
    time: str
    outcome: str = ""


class Message(NamedTuple):
    """``cut``: its MSG is not whole."""

    data: bytes
    cut: bool


class MessageMaker:
    """Messages of one sink."""

    def __init__(self, name: str, facility: str, encode: Encode, max_bytes: int) -> None:
        """``facility``: of ``FACILITIES``; ``max_bytes``: of a whole message, at least 480."""
        self._priority = 8 * FACILITIES[facility]
        self._encode = encode
        self._max_bytes = max_bytes
        self._sink = name
        self._sender = f"{host_name()} {APP_NAME} {os.getpid()} {MSG_ID}"
        self._facts = msgspec.json.Decoder(_Facts)

    def make(self, record: Followed) -> Message:
        """Raises IntegrityError: the record cannot be formatted."""
        content = self._encode(record)
        try:
            facts = self._facts.decode(record.line)
        except msgspec.MsgspecError:
            facts = _Facts(_NIL)
        time = facts.time if _TIME.fullmatch(facts.time) else _NIL
        priority = self._priority + SEVERITY.get(facts.outcome, _UNKNOWN_SEVERITY)
        head = f'<{priority}>1 {time} {self._sender} [{SD_ID} record="{record.number}" sink="{self._sink}"'
        whole = b"%s] %s" % (head.encode(), content)
        if len(whole) <= self._max_bytes:
            return Message(whole, False)
        shown = f'{head} cut="{len(content)}"] '.encode()
        return Message(shown + cut_utf8(content, max(self._max_bytes - len(shown), 0)), True)


def octet_counted(message: bytes) -> bytes:
    """A frame: the length in decimal, a space, the message."""
    return b"%d %s" % (len(message), message)


def cut_utf8(text: bytes, length: int) -> bytes:
    """The beginning of ``text``, at most ``length`` bytes, without a part of a character at its end."""
    while 0 < length < len(text) and text[length] & 0xC0 == 0x80:
        length -= 1
    return text[:length]


def host_name() -> str:
    """HOSTNAME: printable ASCII, at most 255."""
    return _NOT_PRINTABLE.sub("", socket.gethostname())[:255] or _NIL
