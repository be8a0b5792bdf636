"""The perf gate fails for what is really slower, and for nothing else."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from bench import native_operations as ops
from bench.gate import BASELINE, judge
from bench.gate_ratios import TOLERANCES, WSGI_OPERATIONS, pair_measure, wsgi_measures, wsgi_ratio
from bench.interleave import Operation, one_core

ROOT = Path(__file__).resolve().parent.parent.parent
ATTEMPTS_OF_A_BASELINE = 3


def slowed(operation: Operation) -> Operation:
    """A third more work for the same result: a quarter less per second."""

    def run(count: int) -> None:
        operation(count)
        operation(max(1, count // 3))

    return run


@pytest.mark.parametrize("make", [ops.binding_hit, lambda: ops.our_verify("Ed25519")])
def test_a_slower_operation_fails_and_the_same_operation_passes(make) -> None:  # type: ignore[no-untyped-def]
    yardstick = ops.blake2_of_same_bytes()
    with one_core():
        healthy = pair_measure(make(), yardstick)
        expected = statistics.median(statistics.median(healthy(1)) for _ in range(ATTEMPTS_OF_A_BASELINE))
        assert judge("healthy", healthy, expected, TOLERANCES["native"]).passed
        verdict = judge("slowed", pair_measure(slowed(make()), yardstick), expected, TOLERANCES["native"])
    assert not verdict.passed
    assert 0.65 < verdict.measured / expected < 0.9


def test_the_command_fails_and_names_what_dropped(tmp_path: Path) -> None:
    baseline = json.loads(BASELINE.read_text())
    for ratios in baseline["machines"].values():
        for name in ratios:
            ratios[name] *= 4.0 if name == "ML-DSA-65 verify / cryptography" else 0.25
    doctored = tmp_path / "baseline.json"
    doctored.write_text(json.dumps(baseline))
    command = [sys.executable, "-m", "bench.gate", "--part", "native", "--baseline", str(doctored)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONWARNINGS": "error"}, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr == "perf gate: dropped against the baseline: ML-DSA-65 verify / cryptography\n"
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 1 and failed[0].startswith("FAIL ML-DSA-65 verify / cryptography")


def test_the_application_is_measured_too() -> None:
    with wsgi_measures() as measures:
        assert set(measures) == {wsgi_ratio(name) for name in WSGI_OPERATIONS}
        sign = statistics.median(measures[wsgi_ratio("sign Ed25519")](1))
        verify = statistics.median(measures[wsgi_ratio("verify hit")](1))
        wrap = statistics.median(measures[wsgi_ratio("wrap")](1))
    assert 0 < wrap < sign < verify < 1, "a wrap costs more than a signature, and that more than a cache hit"
