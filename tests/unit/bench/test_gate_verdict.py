"""The gate's judgement: what is slower fails, what is disturbed does not."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bench.gate_baseline import Expected
from bench.gate_sample import Costs
from bench.gate_verdict import FEWEST_CONCLUSIVE, Outcome, judge

EXPECTED = Expected(ratio=2.0, reference_ns=100.0)
GOOD = Costs(ours=50.0, theirs=100.0)
TOLERANCE = 0.10
ATTEMPTS = 8


def outcome(*attempts: Costs, known: bool = True) -> Outcome:
    return judge("x", attempts, EXPECTED, TOLERANCE, known).outcome


def slower(costs: Costs, factor: float) -> Costs:
    return replace(costs, ours=costs.ours * factor)


def test_a_tenth_less_passes_and_more_does_not() -> None:
    assert outcome(*[slower(GOOD, 1.11)] * ATTEMPTS) is Outcome.PASSED
    assert outcome(*[slower(GOOD, 1.12)] * ATTEMPTS) is Outcome.DROPPED


def test_one_good_attempt_is_enough() -> None:
    assert outcome(*[slower(GOOD, 1.5)] * (ATTEMPTS - 1), GOOD) is Outcome.PASSED


def test_a_reference_that_was_disturbed_once_does_not_hide_a_drop() -> None:
    disturbed = replace(slower(GOOD, 1.2), theirs=130.0)
    assert outcome(disturbed) is Outcome.PASSED
    assert outcome(disturbed, *[slower(GOOD, 1.2)] * ATTEMPTS) is Outcome.DROPPED


def test_low_but_disturbed_is_inconclusive() -> None:
    low = slower(GOOD, 1.3)
    void = replace(low, conclusive=False)
    assert outcome(*[void] * ATTEMPTS) is Outcome.INCONCLUSIVE
    assert outcome(*[void] * ATTEMPTS, *[low] * (FEWEST_CONCLUSIVE - 1)) is Outcome.INCONCLUSIVE
    assert outcome(*[void] * ATTEMPTS, *[low] * FEWEST_CONCLUSIVE) is Outcome.DROPPED


def test_low_with_a_reference_that_is_slower_than_ever_is_inconclusive_where_the_machine_is_known() -> None:
    low = Costs(ours=65.0, theirs=110.0)
    assert outcome(*[low] * ATTEMPTS) is Outcome.INCONCLUSIVE
    assert outcome(*[low] * ATTEMPTS, known=False) is Outcome.DROPPED


def test_the_report_says_why() -> None:
    void = replace(slower(GOOD, 1.3), conclusive=False)
    assert str(judge("x", [void] * 4, EXPECTED, TOLERANCE)).endswith("-23.1%   4 attempts: 4 disturbed")
    said = str(judge("x", [slower(GOOD, 1.25)] * 4, EXPECTED, TOLERANCE))
    assert said.startswith("FAIL x") and said.endswith("-20.0%   4 attempts")


noise = st.floats(min_value=1.0, max_value=5.0)


@given(st.lists(st.tuples(noise, noise), min_size=2, max_size=ATTEMPTS))
def test_noise_never_fails_a_program_whose_reference_was_measured_once_without(
    disturbances: list[tuple[float, float]],
) -> None:
    attempts = [Costs(50.0 * ours, 100.0 * theirs) for ours, theirs in disturbances]
    assert outcome(*attempts, GOOD) is Outcome.PASSED


@given(st.lists(st.tuples(noise, noise), min_size=FEWEST_CONCLUSIVE, max_size=ATTEMPTS))
def test_noise_never_passes_a_slower_program_whose_reference_was_measured_once_without(
    disturbances: list[tuple[float, float]],
) -> None:
    attempts = [Costs(50.0 * 1.15 * ours, 100.0 * theirs) for ours, theirs in disturbances]
    assert outcome(*attempts, slower(GOOD, 1.15)) is Outcome.DROPPED
