"""Samples in turn, and what is made of them."""

from __future__ import annotations

import os

import pytest

from bench import interleave as timing
from bench.interleave import Samples, interleave, measure_rate, one_core


def spin(count: int) -> None:
    for _ in range(count):
        sum(range(200))


def test_a_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_the_medians() -> None:
    samples = Samples({"ours": [10.0, 40.0, 100.0], "theirs": [1.0, 8.0, 50.0]})
    assert samples.ratios("ours", "theirs") == [10.0, 5.0, 2.0]
    assert samples.ratio("ours", "theirs") == 5.0
    assert samples.rate("ours") == 40.0


def test_operations_take_turns() -> None:
    order: list[str] = []

    def noted(name: str) -> timing.Operation:
        def run(count: int) -> None:
            order.append(name)
            spin(count)

        return run

    samples = interleave({"a": noted("a"), "b": noted("b")}, rounds=3, seconds=0.004)
    assert order[-6:] == ["a", "b"] * 3
    assert [len(rates) for rates in samples.rates.values()] == [3, 3]


def test_half_the_speed_is_half_the_ratio() -> None:
    samples = interleave({"half": lambda n: spin(2 * n), "full": spin}, rounds=7, seconds=0.02)
    assert samples.ratio("half", "full") == pytest.approx(0.5, rel=0.15)


def test_waiting_is_not_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1_000_000, 3_000_000])
    monkeypatch.setattr(timing.time, "process_time_ns", lambda: next(clock))
    assert measure_rate(lambda _: None, 10) == 10 / 0.002


def test_the_core_is_given_back() -> None:
    before = os.sched_getaffinity(0)
    with one_core():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
