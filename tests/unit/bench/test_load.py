"""What is sent, and how the processor time of a server is counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter

import pytest

from bench.http import Row
from bench.http_sample import HttpSample, cpu_seconds
from bench.liboqs_speed import parse_means
from bench.load import Request
from bench.scale import relative
from bench.scenarios import Scenario, mixed

TABLE = """\
Operation                            | Iterations | Total time (s) | Time (us): mean | pop. stdev |
------------------------------------ | ----------:| --------------:| ---------------:| ----------:|
ML-DSA-65                            |            |                |                 |            |
keypair                              |      10395 |          1.000 |          96.201 |    685.273 |
sign                                 |       4452 |          1.004 |         225.503 |   1020.400 |
verify                               |      10625 |          1.000 |          94.118 |    671.993 |
"""


def test_the_mixture_is_70_20_10() -> None:
    verify, sign, wrap = ([Request(f"/{kind}", "t", bytes([n])) for n in range(9)] for kind in "vsw")
    requests = mixed(verify, sign, wrap)
    shares = Counter(request.path for request in requests)
    assert shares == {"/v": 448, "/s": 128, "/w": 64}
    assert len(set(requests)) == 27, "every request has its turn"


def test_processor_time_of_all_processes_counts() -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ntime.sleep(60)"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {busy!r}])"
    command = [sys.executable, "-c", parent]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert 0.28 <= cpu_seconds(process.pid) < 2.0
        os.killpg(process.pid, signal.SIGKILL)


def test_a_batch_is_compared_with_raw_speed_and_a_request_with_the_floor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    floor = [HttpSample(rate, 100, 50.0, 1000) for rate in (900.0, 1100.0)]
    single, batch = Row(Scenario("single", [])), Row(Scenario("batch", [], items=100))
    single.add(HttpSample(500.0, 100, 100.0, 1000), *floor, raw_rate=10_000.0)
    batch.add(HttpSample(100.0, 100, 500.0, 200), *floor, raw_rate=10_000.0)
    assert (single.ratios, single.cpu_ratios) == ([0.5], [0.5])
    assert (batch.ratios, batch.cpu_ratios) == ([0.5], [0.1])
    assert batch.as_report()["signatures_per_request"] == 100


def test_the_table_of_the_speed_program_is_read() -> None:
    assert parse_means(TABLE) == {"sign": 225.503, "verify": 94.118}
    with pytest.raises(ValueError, match="no row for verify"):
        parse_means(TABLE[: TABLE.index("verify ")])


def test_a_cost_is_compared_within_its_round() -> None:
    assert relative([110.0, 400.0, 90.0], [100.0, 200.0, 100.0]) == 1.1
