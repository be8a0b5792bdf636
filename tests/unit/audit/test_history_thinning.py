"""What stays of the checkpoints' history."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from ronkms.audit.history_thinning import DAY_SECONDS, Stamp, thinned

NOW = 400 * DAY_SECONDS
OLD, NEW = frozenset({b"old1", b"old2"}), frozenset({b"new1", b"new2"})


def stay(stamps: Sequence[Stamp], now: float = NOW, retention_days: float = 30) -> list[Stamp]:
    return list(thinned(((stamp, stamp) for stamp in stamps), now=now, retention_days=retention_days))


def a_minute(first: int, last: int) -> list[Stamp]:
    return [Stamp(at, OLD) for at in range(first, last, 60)]


def test_the_last_day_stays_whole() -> None:
    young = a_minute(NOW - DAY_SECONDS + 60, NOW)
    assert stay(young) == young
    ahead = [Stamp(NOW + 5, OLD), Stamp(NOW + 1, OLD), Stamp(NOW - 3, OLD)]
    assert stay(ahead) == ahead


def test_hours_then_days() -> None:
    hours = stay(a_minute(NOW - 3 * DAY_SECONDS, NOW - 2 * DAY_SECONDS))
    assert [stamp.at for stamp in hours] == [NOW - 3 * DAY_SECONDS + hour * 3600 + 3540 for hour in range(24)]
    days = stay(a_minute(NOW - 40 * DAY_SECONDS, NOW - 35 * DAY_SECONDS))
    assert [stamp.at for stamp in days] == [
        NOW - 40 * DAY_SECONDS + day * DAY_SECONDS + 86340 for day in range(5)
    ]


def test_a_year_is_small() -> None:
    assert len(stay(a_minute(0, NOW))) < 1440 + 30 * 24 + 400


def test_a_change_of_keys_stays() -> None:
    day = NOW - 100 * DAY_SECONDS
    stamps = [Stamp(day + second, OLD if second < 5 else NEW) for second in range(10)]
    assert stay(stamps) == [stamps[4], stamps[5], stamps[9]]


def test_what_bears_no_time_stays() -> None:
    unknown = [Stamp.of("junk"), Stamp.of(""), Stamp(5, OLD), Stamp(None, OLD)]
    assert stay(unknown) == unknown


@given(
    stamps=st.lists(
        st.builds(
            Stamp,
            st.none() | st.integers(0, 500 * DAY_SECONDS),
            st.sampled_from([OLD, NEW, frozenset[bytes]()]),
        )
    ),
    later=st.integers(0, 1000 * DAY_SECONDS),
)
def test_it_never_empties_and_is_the_same_done_twice(stamps: list[Stamp], later: int) -> None:
    once = stay(stamps)
    assert stay(once) == once
    assert once[-1:] == stamps[-1:]
    assert {stamp.keys for stamp in once} == {stamp.keys for stamp in stamps}
    afterwards = stay(once, NOW + later)
    assert set(afterwards) <= set(once)
