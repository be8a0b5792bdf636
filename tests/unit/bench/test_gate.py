"""The gate's attempts and exit status, without measuring anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import gate
from bench.gate import FEWEST_ATTEMPTS, FOREIGN_TOLERANCE, MOST_ATTEMPTS, TOLERANCES, decide, record
from bench.gate_baseline import Baseline, BaselineError, Expected
from bench.gate_sample import Costs
from bench.gate_verdict import Outcome

BASELINE = Baseline({"x": Expected(2.0, 100.0), "y": Expected(1.0, 100.0)}, known=True)


class Scripted:
    """Attempts whose costs of ours are given, by pair; the last ones repeat. The reference costs 100."""

    def __init__(self, **ours: list[float]) -> None:
        self.ours = ours
        self.asked: list[frozenset[str] | None] = []

    def __call__(self, names: frozenset[str] | None) -> dict[str, Costs]:
        made = len(self.asked)
        self.asked.append(names)
        return {
            name: Costs(costs[min(made, len(costs) - 1)], 100.0)
            for name, costs in self.ours.items()
            if names is None or name in names
        }


def outcomes(attempts: Scripted) -> dict[str, Outcome]:
    return {verdict.name: verdict.outcome for verdict in decide(attempts, BASELINE, 0.10, pause=0.0)}


def test_what_is_as_fast_as_before_passes_after_the_fewest_attempts() -> None:
    attempts = Scripted(x=[50.0], y=[100.0])
    assert outcomes(attempts) == {"x": Outcome.PASSED, "y": Outcome.PASSED}
    assert attempts.asked == [None] * FEWEST_ATTEMPTS


def test_only_what_is_low_is_measured_again_until_it_passes() -> None:
    attempts = Scripted(x=[80.0, 80.0, 80.0, 51.0], y=[100.0])
    assert outcomes(attempts) == {"y": Outcome.PASSED, "x": Outcome.PASSED}
    assert attempts.asked[FEWEST_ATTEMPTS:] == [frozenset({"x"})] * 2


def test_what_stays_low_fails_after_the_most_attempts() -> None:
    attempts = Scripted(x=[57.0], y=[100.0])
    assert outcomes(attempts) == {"y": Outcome.PASSED, "x": Outcome.DROPPED}
    assert len(attempts.asked) == MOST_ATTEMPTS


def test_without_time_for_all_attempts_nothing_fails() -> None:
    attempts = Scripted(x=[57.0], y=[100.0])
    verdicts = decide(attempts, BASELINE, 0.10, pause=0.0, most_seconds=0.0)
    assert {verdict.name: verdict.outcome for verdict in verdicts} == {
        "x": Outcome.INCONCLUSIVE,
        "y": Outcome.PASSED,
    }
    assert len(attempts.asked) == FEWEST_ATTEMPTS


def test_a_pair_without_a_baseline_is_an_error() -> None:
    with pytest.raises(BaselineError, match="lacks new: run make gate-baseline"):
        decide(Scripted(new=[1.0]), BASELINE, 0.10)


def test_the_baseline_is_what_many_attempts_converge_to() -> None:
    assert record(Scripted(x=[80.0, 50.0, 70.0]), 3) == {"x": Expected(2.0, 100.0)}


def run(attempts: Scripted, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(gate, "attempts_in", lambda *_: attempts)
    monkeypatch.setattr(gate, "load", lambda *_: BASELINE)
    monkeypatch.setattr(gate, "PAUSE_SECONDS", 0.0)
    return gate.main(["--part", "native"])


def test_the_exit_status_says_whether_a_ratio_has_dropped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Scripted(x=[50.0], y=[100.0]), monkeypatch) == 0
    assert "2 ratios, 0 dropped, 0 inconclusive" in capsys.readouterr().out
    assert run(Scripted(x=[50.0], y=[120.0]), monkeypatch) == 1
    said = capsys.readouterr()
    assert "2 ratios, 1 dropped, 0 inconclusive" in said.out
    assert said.err == "perf gate: dropped against the baseline: y\n"


def test_what_is_undecided_is_counted_aloud_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Disturbed(Scripted):
        def __call__(self, names: frozenset[str] | None) -> dict[str, Costs]:
            return {
                name: Costs(costs.ours, costs.theirs, conclusive=False)
                for name, costs in super().__call__(names).items()
            }

    assert run(Disturbed(x=[99.0], y=[100.0]), monkeypatch) == 0
    said = capsys.readouterr().out
    assert "2 ratios, 0 dropped, 1 inconclusive" in said
    assert "WARNING: the machine is too busy to decide all" in said


def test_an_unusable_baseline_is_exit_status_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate.main(["--baseline", str(tmp_path / "none.json")]) == 2
    assert "run make gate-baseline" in capsys.readouterr().err


def test_more_passes_over_sockets_and_on_a_machine_that_is_not_known() -> None:
    assert TOLERANCES == {"native": 0.10, "wsgi": 0.10, "http": 0.20}
    assert max(TOLERANCES.values()) < FOREIGN_TOLERANCE
