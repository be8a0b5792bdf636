"""The compiled parser and its twin agree on the known shape and on everything near it."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ronkms import _fastpath
from tests.unit.fastpath import request_body_twin

SPACE = st.text(alphabet=" \n\r\t", max_size=2)
NAMES = ("key_id", "message", "signature", "context", "key_version")


@st.composite
def known_shapes(draw: st.DrawFn) -> bytes:
    """Bodies of the known shape, with white space anywhere that JSON allows it."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    members = []
    for name in names:
        if name == "key_version":
            value = str(draw(st.integers(1, 999_999_999)))
        elif name == "key_id":
            value = json.dumps(draw(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,127}", fullmatch=True)))
        else:
            value = json.dumps(base64.b64encode(draw(st.binary(max_size=200))).decode())
        members.append(f'{draw(SPACE)}"{name}"{draw(SPACE)}:{draw(SPACE)}{value}{draw(SPACE)}')
    return f"{draw(SPACE)}{{{','.join(members)}}}{draw(SPACE)}".encode()


@given(known_shapes())
def test_known_shapes_are_parsed(body: bytes) -> None:
    parsed = _fastpath.parse(body)
    assert parsed is not None
    assert parsed == request_body_twin.parse(body)


@given(known_shapes(), st.data())
def test_a_changed_byte_gives_what_the_twin_gives(body: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(body) - 1))
    changed = body[:position] + bytes([data.draw(st.integers(0, 255))]) + body[position + 1 :]
    assert _fastpath.parse(changed) == request_body_twin.parse(changed)


@given(known_shapes(), st.data())
def test_a_cut_body_is_refused(body: bytes, data: st.DataObject) -> None:
    cut = body.rstrip(b" \n\r\t")[: data.draw(st.integers(0, len(body.rstrip()) - 1))]
    assert _fastpath.parse(cut) is None


@given(st.binary(max_size=300))
@example(b'{"message":"YR=="}')
@example(b'{"message":"YWI"}')
@example(b'{"message":"YWJ="}')
@example(b'{"key_version":1234567890}')
@example(b'{"key_version":01}')
@example(b'{"key_id":"a",}')
@example(b'{"key_id":"a"}x')
@example(b"{}")
def test_any_bytes_give_what_the_twin_gives(body: bytes) -> None:
    assert _fastpath.parse(body) == request_body_twin.parse(body)


@pytest.mark.parametrize(("size", "known"), [(65536, True), (65537, False)])
def test_a_message_has_a_limit(size: int, known: bool) -> None:
    body = b'{"message":"' + base64.b64encode(bytes(size)) + b'"}'
    assert (_fastpath.parse(body) is not None) is known
    assert (request_body_twin.parse(body) is not None) is known
