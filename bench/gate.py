"""The perf gate: fails when a ratio has dropped against ``bench/baseline.json``, by 10% (over sockets 20%).

A ratio is the median of interleaved rounds. One that seems to have dropped is measured again, up to three
times and each time for longer, and fails only if it is low each time: a disturbance passes, a slower program
does not. Ratios depend on the processor, so the baseline holds them by machine; on one that it does not know,
the gate compares with the lowest known value and lets more pass. ``--record`` measures and enters this
machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import report
from bench.gate_ratios import PARTS, TOLERANCES, Measure
from ronkms.observe.logs import configure_logs

BASELINE = Path(__file__).resolve().parent / "baseline.json"
FOREIGN_TOLERANCE = 0.40
"""For a machine that is not in the baseline: it catches what is grossly slower."""
ATTEMPTS = (1, 2, 3, 4)
"""How many times longer than the first the samples of each attempt are."""
RECORDED_ATTEMPTS = 3


class BaselineError(Exception):
    """The baseline cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Limits:
    """Expected ratios by name; ``known`` is False if they are another machine's."""

    expected: Mapping[str, float]
    known: bool

    def tolerance(self, part: str) -> float:
        """By which part a measured ratio may be lower."""
        return TOLERANCES[part] if self.known else FOREIGN_TOLERANCE


@dataclass(frozen=True)
class Verdict:
    """What came out for one ratio; ``measured`` is the best attempt's median."""

    name: str
    measured: float
    expected: float
    passed: bool

    def __str__(self) -> str:
        change = self.measured / self.expected - 1
        word = "ok  " if self.passed else "FAIL"
        return f"{word} {self.name:50} {self.measured:7.3f}   baseline {self.expected:7.3f}   {change:+.1%}"


def this_machine() -> str:
    """The name under which ratios of this machine are kept."""
    return f"{report.cpu_model()}, {os.cpu_count()} cores"


def limits(baseline: Path, machine: str) -> Limits:
    """What ``baseline`` says for ``machine``. Raises BaselineError."""
    try:
        machines: dict[str, dict[str, float]] = json.loads(baseline.read_text())["machines"]
    except (OSError, ValueError, KeyError) as error:
        raise BaselineError(f"{baseline} cannot be read ({error}): run make gate-baseline") from None
    if machine in machines:
        return Limits(machines[machine], known=True)
    lowest: dict[str, float] = {}
    for ratios in machines.values():
        for name, ratio in ratios.items():
            lowest[name] = min(ratio, lowest.get(name, ratio))
    return Limits(lowest, known=False)


def judge(name: str, measure: Measure, expected: float, tolerance: float) -> Verdict:
    """Makes ``ATTEMPTS``, until a median is at least ``expected`` less ``tolerance``."""
    best = 0.0
    for longer in ATTEMPTS:
        best = max(best, statistics.median(measure(longer)))
        if best >= expected * (1 - tolerance):
            return Verdict(name, best, expected, passed=True)
    return Verdict(name, best, expected, passed=False)


def judge_all(
    measures: Mapping[str, Measure], expected: Mapping[str, float], tolerance: float
) -> list[Verdict]:
    """A verdict for each measure, printed as it comes. Raises BaselineError."""
    unknown = measures.keys() - expected.keys()
    if unknown:
        raise BaselineError(f"the baseline lacks {', '.join(sorted(unknown))}: run make gate-baseline")
    verdicts = []
    for name, measure in measures.items():
        verdicts.append(judge(name, measure, expected[name], tolerance))
        print(verdicts[-1], flush=True)
    return verdicts


def record(measures: Mapping[str, Measure]) -> dict[str, float]:
    """The median of ``RECORDED_ATTEMPTS`` attempts of each measure, in turn."""
    medians: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(RECORDED_ATTEMPTS):
        for name, measure in measures.items():
            medians[name].append(statistics.median(measure(1)))
    return {name: round(statistics.median(found), 3) for name, found in medians.items()}


def enter(baseline: Path, machine: str, ratios: Mapping[str, float]) -> None:
    """Writes the ratios of ``machine`` into the file and leaves those of others."""
    kept = json.loads(baseline.read_text()) if baseline.exists() else {"machines": {}}
    kept["machines"][machine] = dict(ratios)
    baseline.write_text(json.dumps(kept, indent=2) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 all within the limits, 1 a ratio has dropped, 2 no usable baseline."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--baseline", type=Path, default=BASELINE)
    options.add_argument("--record", action="store_true", help="enter this machine into the baseline")
    options.add_argument("--part", choices=PARTS, action="append", help="only this part; repeatable")
    chosen = options.parse_args(arguments)
    parts = [part for part in PARTS if chosen.part is None or part in chosen.part]
    if chosen.record:
        ratios: dict[str, float] = {}
        for part in PARTS:
            with PARTS[part]() as measures:
                ratios |= record(measures)
        enter(chosen.baseline, this_machine(), ratios)
        print(json.dumps(ratios, indent=2))
        return 0
    verdicts = []
    try:
        found = limits(chosen.baseline, this_machine())
        if not found.known:
            print(f"{this_machine()} is not in the baseline: up to {FOREIGN_TOLERANCE:.0%} lower passes")
        for part in parts:
            with PARTS[part]() as measures:
                verdicts += judge_all(measures, found.expected, found.tolerance(part))
    except BaselineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    failed = [verdict.name for verdict in verdicts if not verdict.passed]
    if failed:
        print(f"perf gate: dropped against the baseline: {'; '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    configure_logs("warning", "logfmt")
    sys.exit(main())
