"""The gate's judgement, without measuring anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import gate
from bench.gate import BASELINE, FOREIGN_TOLERANCE, BaselineError, Limits, judge, judge_all, limits
from bench.gate_ratios import HTTP_SCENARIOS, WSGI_OPERATIONS, http_ratio, native_pairs, wsgi_ratio

TOLERANCE = 0.10


class Scripted:
    """A measure whose attempts are given."""

    def __init__(self, *attempts: Sequence[float]) -> None:
        self.attempts = list(attempts)
        self.lengths: list[int] = []

    def __call__(self, longer: int) -> Sequence[float]:
        self.lengths.append(longer)
        return self.attempts.pop(0)


def test_one_good_attempt_is_enough() -> None:
    measure = Scripted([2.0, 1.99, 2.5])
    assert judge("x", measure, 2.0, TOLERANCE).passed
    assert measure.attempts == []


def test_a_disturbed_attempt_is_repeated() -> None:
    measure = Scripted([1.0] * 5, [1.5] * 5, [2.0] * 5)
    verdict = judge("x", measure, 2.0, TOLERANCE)
    assert (verdict.passed, verdict.measured) == (True, 2.0)
    assert measure.lengths == [1, 2, 3], "each attempt is longer"


def test_low_attempts_fail_with_the_best_of_them() -> None:
    verdict = judge("x", Scripted([1.7] * 5, [1.79] * 5, [1.6] * 5, [1.7] * 5), 2.0, TOLERANCE)
    assert (verdict.passed, verdict.measured) == (False, 1.79)
    assert str(verdict).startswith("FAIL x") and "-10.5%" in str(verdict)


def test_a_tenth_less_still_passes() -> None:
    assert judge("x", Scripted([1.8001] * 5), 2.0, TOLERANCE).passed


def test_outliers_in_the_rounds_do_not_matter() -> None:
    assert judge("x", Scripted([0.1, 2.0, 2.0, 0.2, 2.0]), 2.0, TOLERANCE).passed
    low = [9.0, 1.0, 1.0, 9.0, 1.0]
    assert not judge("x", Scripted(low, low, low, low), 2.0, TOLERANCE).passed


def test_a_ratio_without_a_baseline_is_an_error() -> None:
    with pytest.raises(BaselineError, match="lacks new: run make gate-baseline"):
        judge_all({"new": Scripted([1.0])}, {"old": 1.0}, TOLERANCE)


def test_machines_are_kept_apart(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    gate.enter(file, "fast", {"x": 4.0, "y": 1.0})
    gate.enter(file, "slow", {"x": 3.0, "y": 2.0})
    gate.enter(file, "fast", {"x": 5.0, "y": 1.5})
    assert limits(file, "fast") == Limits({"x": 5.0, "y": 1.5}, known=True)
    assert limits(file, "slow") == Limits({"x": 3.0, "y": 2.0}, known=True)
    assert limits(file, "never seen") == Limits({"x": 3.0, "y": 1.5}, known=False)


def test_more_passes_over_sockets_and_on_a_machine_that_is_not_known() -> None:
    known, foreign = Limits({}, known=True), Limits({}, known=False)
    assert [known.tolerance(part) for part in ("native", "wsgi", "http")] == [0.10, 0.10, 0.20]
    assert {foreign.tolerance(part) for part in ("native", "wsgi", "http")} == {FOREIGN_TOLERANCE}


@pytest.mark.parametrize("content", [None, "", "[", "{}"])
def test_an_unusable_baseline_says_what_to_do(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "baseline.json"
    if content is not None:
        file.write_text(content)
    assert gate.main(["--baseline", str(file)]) == 2
    assert "run make gate-baseline" in capsys.readouterr().err


def test_the_committed_baseline_has_every_ratio() -> None:
    wanted = {*native_pairs(), *map(wsgi_ratio, WSGI_OPERATIONS), *map(http_ratio, HTTP_SCENARIOS)}
    for machine, ratios in json.loads(BASELINE.read_text())["machines"].items():
        assert set(ratios) == wanted, machine
