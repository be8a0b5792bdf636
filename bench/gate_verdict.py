"""Whether a pair's ratio has dropped, from the costs of several attempts.

The ratio is the reference's least cost over our least cost. Disturbances only ever add to a cost, so both
converge to what the machine can do, from above; a slower program does not. Low in every attempt is *dropped*
if the attempts say something: most were undisturbed, and the reference ran at the speed that the baseline
remembers. Otherwise it is *inconclusive*, which is said aloud and fails nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bench.gate_baseline import Expected
from bench.gate_sample import Costs

SLOWER_REFERENCE = 0.08
"""By which part of its remembered cost the reference may cost more, on a machine that is itself."""
FEWEST_CONCLUSIVE = 3


class Outcome(Enum):
    """The value is the word that the report begins with."""

    PASSED = "ok"
    DROPPED = "FAIL"
    INCONCLUSIVE = "????"


@dataclass(frozen=True)
class Verdict:
    """What came out for one pair."""

    name: str
    outcome: Outcome
    ratio: float
    expected: float
    attempts: int
    why: str = ""

    def __str__(self) -> str:
        change = self.ratio / self.expected - 1
        line = f"{self.outcome.value:4} {self.name:44} {self.ratio:7.3f}   baseline {self.expected:7.3f}"
        return f"{line}   {change:+6.1%}   {self.attempts} attempts{self.why and ': '}{self.why}"


def ratio(attempts: Sequence[Costs]) -> float:
    """The reference's least cost over our least cost."""
    return min(costs.theirs for costs in attempts) / min(costs.ours for costs in attempts)


def judge(
    name: str, attempts: Sequence[Costs], expected: Expected, tolerance: float, known: bool = True
) -> Verdict:
    """``tolerance``: the part by which the ratio may be lower. ``known``: the baseline is this machine's."""
    found = ratio(attempts)

    def verdict(outcome: Outcome, why: str = "") -> Verdict:
        return Verdict(name, outcome, found, expected.ratio, len(attempts), why)

    if found >= expected.ratio * (1 - tolerance):
        return verdict(Outcome.PASSED)
    conclusive = sum(costs.conclusive for costs in attempts)
    if conclusive < FEWEST_CONCLUSIVE:
        return verdict(Outcome.INCONCLUSIVE, f"{len(attempts) - conclusive} disturbed")
    slower = min(costs.theirs for costs in attempts) / expected.reference_ns - 1
    if known and slower > SLOWER_REFERENCE:
        return verdict(Outcome.INCONCLUSIVE, f"the reference is {slower:.0%} slower than in the baseline")
    return verdict(Outcome.DROPPED)
