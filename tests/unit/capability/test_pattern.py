"""Key patterns against a readable twin."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronkms.capability.pattern import check_pattern, matches
from ronkms.errors import BadRequest


@given(
    pattern=st.text(alphabet="ab*-", min_size=1, max_size=12),
    key_id=st.text(alphabet="ab-", min_size=1, max_size=12),
)
def test_agrees_with_fnmatch(pattern: str, key_id: str) -> None:
    assert matches(pattern, key_id) == fnmatch.fnmatchcase(key_id, pattern)


@pytest.mark.parametrize(
    ("pattern", "key_id", "covered"),
    [
        ("orders-*", "orders-1", True),
        ("orders-*", "orders-", True),
        ("orders-*", "order-1", False),
        ("orders-1", "orders-1", True),
        ("orders-1", "orders-10", False),
        ("*", "*", True),
        ("*", "anything", True),
        ("orders-*", "*", False),
        ("**", "*", False),
        ("a*b*a", "aba", True),
        ("a*ba", "aa", False),
        ("ab*ba", "aba", False),
        ("*.prod", "a.prod", True),
    ],
)
def test_cases(pattern: str, key_id: str, covered: bool) -> None:
    assert matches(pattern, key_id) is covered


def test_many_stars_take_no_time() -> None:
    assert not matches("a*" * 60 + "b", "a" * 128)


@pytest.mark.parametrize("pattern", ["", "Orders", 'a"b', "a b", "-a", "a\n", "a?", "ä", "a" * 129, "a\x00"])
def test_refuses(pattern: str) -> None:
    with pytest.raises(BadRequest):
        check_pattern(pattern)
