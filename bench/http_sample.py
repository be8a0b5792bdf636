"""One sample of a running server: rate, latency, and processor time per request of all its processes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bench import load
from bench.scenarios import Scenario
from tests.e2e.support.process_tree import descendants

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Target:
    """A server: its URL, and the process whose descendants are the server."""

    url: str
    pid: int


@dataclass(frozen=True)
class HttpSample:
    """Answers per second, 95th percentile in microseconds, processor microseconds per answer, answers."""

    rate: float
    p95_us: int
    cpu_us: float
    answers: int


def sample(target: Target, scenario: Scenario, *, seconds: int, connections: int) -> HttpSample:
    """Loads ``target`` for ``seconds``. Raises RuntimeError if an answer is not what the scenario says."""
    before = cpu_seconds(target.pid)
    connections = min(connections, scenario.connections or connections)
    got = load.run(target.url, scenario.requests, seconds=seconds, connections=connections)
    spent = cpu_seconds(target.pid) - before
    if got.non_2xx != (got.answers if scenario.refused else 0):
        wanted = "all" if scenario.refused else "none"
        raise RuntimeError(
            f"{scenario.name}: {got.non_2xx} of {got.answers} answers were errors, {wanted} should be"
        )
    return HttpSample(got.rate, got.p95_us, spent / got.answers * 1e6, got.answers)


def cpu_seconds(pid: int) -> float:
    """User and system time of ``pid`` and all processes below it, to 10 ms each."""
    total = 0
    for process in descendants(pid):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS_PER_SECOND
