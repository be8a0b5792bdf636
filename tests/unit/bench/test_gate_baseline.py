"""The committed figures: kept apart by machine, complete, and an error if they cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.gate_baseline import BASELINE, Baseline, BaselineError, Expected, enter, load
from bench.gate_pairs import HTTP_SCENARIOS, WSGI_OPERATIONS, http_name, native_pairs, wsgi_name


def test_machines_are_kept_apart_and_an_unknown_one_gets_the_lowest(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    enter(file, "fast", {"x": Expected(9.0, 1.0), "y": Expected(9.0, 1.0)})
    enter(file, "slow", {"x": Expected(3.0, 20.0), "y": Expected(2.0, 20.0)})
    enter(file, "fast", {"x": Expected(5.0, 10.0)})
    enter(file, "fast", {"y": Expected(1.5, 10.0)})
    assert load(file, "fast") == Baseline({"x": Expected(5.0, 10.0), "y": Expected(1.5, 10.0)}, known=True)
    assert load(file, "slow") == Baseline({"x": Expected(3.0, 20.0), "y": Expected(2.0, 20.0)}, known=True)
    lowest = {"x": Expected(3.0, 20.0), "y": Expected(1.5, 10.0)}
    assert load(file, "never seen") == Baseline(lowest, known=False)


@pytest.mark.parametrize("content", [None, "", "[", "{}", "[]", '{"machines": {"m": {"x": 1.0}}}'])
def test_an_unusable_baseline_says_what_to_do(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BaselineError, match="run make gate-baseline"):
        load(file, "m")


def test_the_committed_baseline_has_every_pair() -> None:
    wanted = {*native_pairs(), *map(wsgi_name, WSGI_OPERATIONS), *map(http_name, HTTP_SCENARIOS)}
    for machine in json.loads(BASELINE.read_text())["machines"]:
        assert load(BASELINE, machine).expected.keys() == wanted, machine
