"""The answer parser: only an explicit true allows, whatever is sent."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronkms.policy.external.answer import (
    MAX_ANSWER,
    MAX_DECISION_ID,
    MAX_REASON,
    UNDEFINED,
    MalformedAnswerError,
    parse_answer,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["result", "allow", "reason", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("body", "allow", "reason"),
    [
        ('{"result":true}', True, ""),
        ('{"result":{"allow":true,"reason":"yes","more":[1]},"metrics":{}}', True, "yes"),
        ('{"result":false}', False, ""),
        ('{"result":{"allow":false,"reason":"after hours"}}', False, "after hours"),
        ('{"result":{"allow":false,"reason":7}}', False, ""),
        ("{}", False, UNDEFINED),
        ('{"result":null}', False, UNDEFINED),
        ('{"result":"true"}', False, UNDEFINED),
        ('{"result":1}', False, UNDEFINED),
        ('{"result":[true]}', False, UNDEFINED),
        ('{"result":{}}', False, UNDEFINED),
        ('{"result":{"allow":1}}', False, UNDEFINED),
        ('{"result":{"allow":"true"}}', False, UNDEFINED),
        ('{"result":{"allow":null,"reason":"?"}}', False, UNDEFINED),
        ('{"allow":true}', False, UNDEFINED),
    ],
)
def test_decisions(body: str, allow: bool, reason: str) -> None:
    answer = parse_answer(body.encode())
    assert (answer.allow, answer.reason) == (allow, reason)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"true",
        b"[]",
        b'{"result":tru',
        b'{"result":true}x',
        b'{"result":false,"result":true}',
        b'{"result":{"allow":false,"allow":true}}',
        b'{"result":true,"x":NaN}',
        b'\xff{"result":true}',
        b'{"result":true,"pad":"' + b"x" * MAX_ANSWER + b'"}',
        b'{"result":' + b"[" * 30_000,
        b'{"result":true,"n":' + b"1" * 5000 + b"}",
        "<html>result: true</html>".encode("utf-16"),
    ],
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(MalformedAnswerError) as caught:
        parse_answer(body)
    assert "result" not in str(caught.value)


def test_texts_are_bounded_and_printable() -> None:
    body = {
        "result": {"allow": False, "reason": "a\nb\u2028" + "r" * 500},
        "decision_id": "\x1b[31m" + "d" * 500,
    }
    answer = parse_answer(json.dumps(body).encode())
    assert (len(answer.reason), len(answer.decision_id)) == (MAX_REASON, MAX_DECISION_ID)
    assert answer.reason.startswith("a b r")
    assert answer.reason.isprintable()
    assert answer.decision_id.isprintable()


@given(JSON)
def test_it_allows_exactly_the_two_forms(document: Any) -> None:
    result = document.get("result") if isinstance(document, dict) else None
    allows = result is True or (isinstance(result, dict) and result.get("allow") is True)
    try:
        answer = parse_answer(json.dumps(document).encode())
    except MalformedAnswerError:
        assert not isinstance(document, dict)
    else:
        assert isinstance(document, dict)
        assert answer.allow is allows


@given(st.binary(max_size=200))
def test_nothing_else_is_raised(body: bytes) -> None:
    with contextlib.suppress(MalformedAnswerError):
        assert parse_answer(body).allow in (True, False)
