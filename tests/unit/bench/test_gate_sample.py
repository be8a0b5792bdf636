"""Costs come out of samples as they should, disturbed or not."""

from __future__ import annotations

import statistics

import pytest

from bench import gate_sample
from bench.gate_sample import FEWEST, MOST_TRIES, SAMPLE_SECONDS, WANTED, WANTED_OF_LUCK, Costs
from bench.interleave import Operation


class Machine:
    """A clock and a count of involuntary switches that only operations move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.switches = 0
        self.samples = 0
        monkeypatch.setattr(gate_sample.time, "thread_time_ns", lambda: int(self.now))
        monkeypatch.setattr(gate_sample, "_switches", lambda: self.switches)

    def operation(self, costs: list[float], disturbed_every: int = 0) -> tuple[Operation, list[int]]:
        """Takes each of ``costs`` in turn; every nth call is three times as slow and switched away from."""
        counts: list[int] = []

        def run(count: int) -> None:
            cost = costs[len(counts) % len(costs)]
            counts.append(count)
            if disturbed_every and len(counts) % disturbed_every == 0:
                self.switches += 1
                cost *= 3
            self.now += count * cost

        return run, counts


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_undisturbed_samples_of_two_milliseconds(machine: Machine) -> None:
    (ours, counts), (theirs, _) = machine.operation([1000.0]), machine.operation([4000.0])
    assert gate_sample.compare(ours, theirs) == Costs(1000.0, 4000.0)
    assert counts[-WANTED:] == [SAMPLE_SECONDS * 1e9 / 1000] * WANTED


def test_disturbed_samples_are_thrown_away_and_made_up_for(machine: Machine) -> None:
    (ours, counts), (theirs, _) = machine.operation([1000.0], disturbed_every=2), machine.operation([4000.0])
    assert gate_sample.compare(ours, theirs) == Costs(1000.0, 4000.0)
    assert counts[-2 * WANTED + 2 :].count(counts[-1]) == 2 * WANTED - 2


def test_too_few_undisturbed_samples_say_nothing(machine: Machine) -> None:
    seldom = MOST_TRIES * WANTED // FEWEST
    nearly_always = machine.operation([1000.0])[0]

    def busy(count: int) -> None:
        nearly_always(count)
        machine.samples += 1
        machine.switches += machine.samples % (seldom + 2) != 0

    costs = gate_sample.compare(busy, machine.operation([4000.0])[0])
    assert not costs.conclusive


def test_a_low_quantile_of_the_same_work_and_the_mean_of_chance(machine: Machine) -> None:
    varying = [1000.0] + [1500.0] * 3
    assert gate_sample.compare(machine.operation(varying)[0], machine.operation([1.0])[0]).ours == 1000.0
    costs = gate_sample.compare_random(machine.operation(varying)[0], machine.operation([1000.0])[0])
    assert costs.ours == pytest.approx(statistics.fmean(varying), rel=0.01)
    assert WANTED_OF_LUCK > WANTED


def test_batches_are_counted_whole(machine: Machine) -> None:
    ours, counts = machine.operation([30_000.0])
    gate_sample.compare(ours, machine.operation([1000.0])[0], unit=64)
    assert {count % 64 for count in counts} == {0}
