"""Quantiles from buckets, against the samples themselves."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronkms.observe.quantile import quantile

BOUNDS = [0.001, 0.002, 0.005, 0.01, 0.1, 1.0]


def test_nothing_observed() -> None:
    assert quantile(0.95, BOUNDS, [0] * 7) == 0.0


def test_beyond_the_last_bound() -> None:
    assert quantile(0.95, BOUNDS, [0, 0, 0, 0, 0, 0, 4]) == 1.0


def test_no_rounding_past_the_bound() -> None:
    assert quantile(1.0, BOUNDS, [0, 0, 0, 0, 0, 13, 0]) == 1.0


def test_interpolates() -> None:
    assert quantile(0.5, BOUNDS, [0, 10, 0, 0, 0, 0, 0]) == pytest.approx(0.0015)


@given(st.lists(st.floats(0.0001, 0.99), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_lies_in_the_bucket_of_the_true_quantile(samples: list[float], fraction: float) -> None:
    counts = [0] * (len(BOUNDS) + 1)
    for sample in samples:
        counts[bisect_left(BOUNDS, sample)] += 1
    # The sample of that rank: the smallest with at least fraction * n samples at or below it.
    ordered = sorted(samples)
    rank = next(at for at in range(len(ordered)) if at + 1 >= fraction * len(ordered))
    bucket = bisect_left(BOUNDS, ordered[rank])
    lower = BOUNDS[bucket - 1] if bucket else 0.0
    assert lower <= quantile(fraction, BOUNDS, counts) <= BOUNDS[bucket]
