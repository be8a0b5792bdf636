"""Messages and frames, read back by a parser written from RFC 5424 section 6 and RFC 6587 section 3.4.1."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronkms.audit.follower import Followed
from ronkms.audit.sinks.encoding import encoder
from ronkms.audit.sinks.rfc5424 import MessageMaker, cut_utf8, octet_counted

PRINTUSASCII = r"[\x21-\x7e]"
MESSAGE = re.compile(
    rb"<(?P<pri>[0-9]{1,3})>1 (?P<time>\S+) (?P<host>[\x21-\x7e]{1,255}) (?P<app>[\x21-\x7e]{1,48})"
    rb" (?P<pid>[\x21-\x7e]{1,128}) (?P<id>[\x21-\x7e]{1,32})"
    rb" \[(?P<sd_id>[^ =\]\"]{1,32})(?P<params>( [^ =\]\"]{1,32}=\"([^\"\\\]]|\\.)*\")*)\] (?P<msg>.*)",
    re.DOTALL,
)
PARAM = re.compile(rb' ([^ =]+)="([^"]*)"')

FIELDS = {"time": "2026-11-24T20:26:58.757986Z", "v": 1, "op": "sign", "outcome": "ok", "tenant": "acme"}


def record(number: int = 7, **fields: object) -> Followed:
    content = {"seq": number, "prev": "0" * 64, **FIELDS, **fields}
    return Followed(
        number, json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(), bytes(32)
    )


def parse(message: bytes) -> dict[str, bytes]:
    found = MESSAGE.fullmatch(message)
    assert found is not None, message
    return found.groupdict()


def unframe(stream: bytes) -> list[bytes]:
    """RFC 6587: SYSLOG-FRAME = MSG-LEN SP SYSLOG-MSG."""
    messages = []
    while stream:
        length, _, stream = stream.partition(b" ")
        assert re.fullmatch(rb"[1-9][0-9]*", length)
        messages.append(stream[: int(length)])
        assert len(messages[-1]) == int(length)
        stream = stream[int(length) :]
    return messages


def maker(max_bytes: int = 8192, form: str = "jsonl", facility: str = "audit") -> MessageMaker:
    return MessageMaker("siem", facility, encoder(form), max_bytes)


def test_a_message_is_what_the_rfc_says() -> None:
    made = maker().make(record())
    found = parse(made.data)
    assert not made.cut
    assert found["pri"] == b"110", "13 * 8 + 6"
    assert datetime.fromisoformat(found["time"].decode()).microsecond == 757986
    assert (found["app"], found["id"], found["sd_id"]) == (b"ron-kms", b"audit", b"ron-kms@32473")
    assert dict(PARAM.findall(found["params"])) == {b"record": b"7", b"sink": b"siem"}
    assert found["msg"] == record().line


@pytest.mark.parametrize(
    ("facility", "outcome", "priority"),
    [
        ("audit", "denied", 108),
        ("audit", "error", 107),
        ("local7", "invalid", 189),
        ("kern", "rejected", 4),
        ("authpriv", "unheard of", 85),
    ],
)
def test_priority(facility: str, outcome: str, priority: int) -> None:
    assert int(parse(maker(facility=facility).make(record(outcome=outcome)).data)["pri"]) == priority


def test_a_time_that_is_none_is_nil() -> None:
    assert parse(maker().make(record(time="now ] <1>")).data)["time"] == b"-"


@given(st.text(max_size=600), st.integers(480, 1200))
def test_no_message_is_longer_than_allowed_and_a_cut_one_says_so(detail: str, limit: int) -> None:
    given_record = record(detail=detail)
    made = maker(limit).make(given_record)
    found = parse(made.data)
    params = dict(PARAM.findall(found["params"]))
    assert len(made.data) <= limit
    assert found["msg"].decode() is not None
    assert made.cut == (b"cut" in params)
    if made.cut:
        assert int(params[b"cut"]) == len(given_record.line)
        assert given_record.line.startswith(found["msg"])
        assert len(made.data) > limit - 4, "cut no more than needed"
    else:
        assert found["msg"] == given_record.line


@given(st.text(), st.integers(0, 100))
def test_a_text_is_cut_at_a_character(text: str, length: int) -> None:
    data = text.encode()
    cut = cut_utf8(data, length)
    assert len(cut) <= length or not data
    assert text.startswith(cut.decode())
    assert len(cut) == len(data) or len(data[: len(cut)]) + 4 > length


@given(st.lists(st.binary(min_size=1, max_size=300)))
def test_frames_are_read_back(messages: list[bytes]) -> None:
    assert unframe(b"".join(octet_counted(message) for message in messages)) == messages


@pytest.mark.parametrize("form", ["cef", "ocsf"])
def test_other_formats(form: str) -> None:
    message = parse(maker(form=form).make(record()).data)["msg"]
    if form == "cef":
        assert message.startswith(b"CEF:0|ron-kms|")
    else:
        assert json.loads(message)["metadata"]["sequence"] == 7
