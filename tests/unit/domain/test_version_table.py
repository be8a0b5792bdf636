"""A table of versions is a mapping from 1 without a gap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronkms.domain.version_table import VersionTable


@given(st.lists(st.tuples(st.integers(-1, 6), st.text(max_size=2)), max_size=30))
def test_it_is_a_mapping_that_takes_no_gap(changes: list[tuple[int, str]]) -> None:
    table: VersionTable[str] = VersionTable()
    model: dict[int, str] = {}
    for number, version in changes:
        if 0 < number <= len(model) + 1:
            table[number] = version
            model[number] = version
        else:
            with pytest.raises(KeyError):
                table[number] = version
        assert dict(table) == model
        assert list(table) == sorted(model)
        assert list(table.values()) == list(model.values())
        assert (len(table), table.get(0), table.get(7)) == (len(model), None, None)


def test_it_takes_what_is_there() -> None:
    assert dict(VersionTable("ab")) == {1: "a", 2: "b"}
