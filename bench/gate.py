"""The perf gate: fails when a ratio has dropped against ``bench/baseline.json``, by 10% (over sockets 20%).

Every attempt measures in a process of its own (``gate_attempt``); a ratio is made of the least costs of all
attempts (``gate_verdict``). A pair whose ratio is low is measured again and again, ``MOST_ATTEMPTS`` times at
most and with pauses, before it fails. What a busy machine leaves undecided is reported as inconclusive and
counted in the last line, and fails nothing. Ratios depend on the processor, so the baseline holds them by
machine; on one that it does not know, the gate compares with the lowest known value and lets more pass.
``--record`` enters this machine. ``--drill PERCENT`` slows our side down, to see the gate fail.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.gate_attempt import AttemptError, Wanted, attempt
from bench.gate_baseline import BASELINE, Baseline, BaselineError, Expected, enter, load, this_machine
from bench.gate_pairs import PARTS
from bench.gate_sample import Costs
from bench.gate_verdict import Outcome, Verdict, judge, ratio

TOLERANCES = {"native": 0.10, "wsgi": 0.10, "http": 0.20}
"""By which part of the baseline a ratio may be lower, by part of the gate."""
FOREIGN_TOLERANCE = 0.50
"""For a machine that is not in the baseline: it catches what is grossly slower."""
FEWEST_ATTEMPTS = 2
MOST_ATTEMPTS = 8
RECORDED_ATTEMPTS = {"native": 12, "wsgi": 12, "http": 3}
PAUSE_SECONDS = 1.0
"""Before another attempt for what is low: a disturbance may pass meanwhile."""
MOST_SECONDS = 120.0
"""For a part. What is still low then, before all attempts are made, is inconclusive: the machine is busy."""

Attempt = Callable[[frozenset[str] | None], dict[str, Costs]]
"""Costs of the named pairs, or of all."""


def decide(
    make: Attempt,
    baseline: Baseline,
    tolerance: float,
    pause: float = PAUSE_SECONDS,
    most_seconds: float = MOST_SECONDS,
) -> list[Verdict]:
    """A verdict for each pair, printed when it stands. Raises BaselineError, AttemptError."""
    attempts: dict[str, list[Costs]] = {}
    decided: list[Verdict] = []
    left: frozenset[str] | None = None
    began = time.monotonic()
    for number in range(1, MOST_ATTEMPTS + 1):
        if number > FEWEST_ATTEMPTS:
            time.sleep(pause)
        for name, costs in make(left).items():
            attempts.setdefault(name, []).append(costs)
        unknown = attempts.keys() - baseline.expected.keys()
        if unknown:
            raise BaselineError(f"the baseline lacks {', '.join(sorted(unknown))}: run make gate-baseline")
        if number < FEWEST_ATTEMPTS:
            continue
        low = []
        late = number < MOST_ATTEMPTS and time.monotonic() - began > most_seconds
        for name in attempts if left is None else sorted(left):
            verdict = judge(name, attempts[name], baseline.expected[name], tolerance, baseline.known)
            if late and verdict.outcome is Outcome.DROPPED:
                verdict = replace(verdict, outcome=Outcome.INCONCLUSIVE, why="no time for more")
            if late or verdict.outcome is Outcome.PASSED or number == MOST_ATTEMPTS:
                decided.append(verdict)
                print(verdict, flush=True)
            else:
                low.append(name)
        if not low:
            break
        left = frozenset(low)
    return decided


def record(make: Attempt, count: int) -> dict[str, Expected]:
    """What ``count`` attempts converge to. Raises AttemptError."""
    attempts: dict[str, list[Costs]] = {}
    for _ in range(count):
        for name, costs in make(None).items():
            attempts.setdefault(name, []).append(costs)
    return {
        name: Expected(round(ratio(found), 3), round(min(costs.theirs for costs in found), 1))
        for name, found in attempts.items()
    }


def attempts_in(directory: Path, part: str, slower: float) -> Attempt:
    """Real attempts, whose copies stay in ``directory``."""
    made = 0

    def make(names: frozenset[str] | None) -> dict[str, Costs]:
        nonlocal made
        made += 1
        return attempt(Wanted([part], names, slower), directory / f"{part}-{made}")

    return make


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 nothing has dropped, 1 a ratio has, 2 no usable baseline or measurement."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--baseline", type=Path, default=BASELINE)
    options.add_argument("--record", action="store_true", help="enter this machine into the baseline")
    options.add_argument("--part", choices=PARTS, action="append", help="only this part; repeatable")
    options.add_argument("--drill", type=float, default=0.0, metavar="PERCENT", help="lose so much speed")
    chosen = options.parse_args(arguments)
    parts = [part for part in PARTS if chosen.part is None or part in chosen.part]
    with tempfile.TemporaryDirectory() as copies:
        try:
            if chosen.record:
                return _record(chosen.baseline, parts, Path(copies))
            return _check(chosen.baseline, parts, chosen.drill, Path(copies))
        except (AttemptError, BaselineError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2


def _record(file: Path, parts: Sequence[str], copies: Path) -> int:
    found: dict[str, Expected] = {}
    for part in parts:
        found |= record(attempts_in(copies, part, 0.0), RECORDED_ATTEMPTS[part])
    enter(file, this_machine(), found)
    for name, expected in found.items():
        print(f"{name:44} {expected.ratio:7.3f}")
    return 0


def _check(file: Path, parts: Sequence[str], slower: float, copies: Path) -> int:
    baseline = load(file, this_machine())
    if not baseline.known:
        print(f"{this_machine()} is not in the baseline: up to {FOREIGN_TOLERANCE:.0%} lower passes")
    verdicts: list[Verdict] = []
    for part in parts:
        tolerance = TOLERANCES[part] if baseline.known else FOREIGN_TOLERANCE
        verdicts += decide(attempts_in(copies, part, slower), baseline, tolerance)
    dropped = [verdict.name for verdict in verdicts if verdict.outcome is Outcome.DROPPED]
    undecided = sum(verdict.outcome is Outcome.INCONCLUSIVE for verdict in verdicts)
    print(f"perf gate: {len(verdicts)} ratios, {len(dropped)} dropped, {undecided} inconclusive")
    if undecided:
        print("perf gate: WARNING: the machine is too busy to decide all; run make gate when it is quiet")
    if dropped:
        print(f"perf gate: dropped against the baseline: {'; '.join(dropped)}", file=sys.stderr)
    return 1 if dropped else 0


if __name__ == "__main__":
    sys.exit(main())
