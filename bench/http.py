"""Requests per second over HTTP, each as a ratio to a bare Falcon POST (part of ``make bench``).

Both servers run under gunicorn with the same workers, threads and keep-alive on loopback, and get their load
from the same generator. Every sample of a scenario stands between two samples of the floor (A B A B ...); a
ratio is the scenario's rate over the mean of the two floor rates beside it; the figure is the median of the
ratios. Batches are compared with what the native core signs on one core without HTTP, sampled at the
same times, times the number of cores. Absolute rates move with the machine, the ratios are what counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from bench import report
from bench.bare_server import THREADS, WORKERS, bare_falcon
from bench.http_sample import HttpSample, Target, sample
from bench.interleave import measure_rate
from bench.native_operations import our_sign
from bench.scenarios import INFLIGHT, Scenario, scenarios
from tests.server_process import ServerProcess

RAW_SIGNATURES = 20_000
REFERENCE_RATES = {"sign Ed25519": 11_500, "sign ML-DSA-65": 1_800, "mixed": 6_000}
"""Requests per second of the runbook's baseline host (RUNBOOK 10)."""


@dataclass
class Row:
    """The samples of one scenario and their ratios."""

    scenario: Scenario
    samples: list[HttpSample] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    cpu_ratios: list[float] = field(default_factory=list)

    def add(self, got: HttpSample, before: HttpSample, after: HttpSample, raw_rate: float) -> None:
        """``before`` and ``after`` are the floor's, ``raw_rate`` the core's signatures per second."""
        self.samples.append(got)
        self.cpu_ratios.append((before.cpu_us + after.cpu_us) / 2 / got.cpu_us)
        if self.scenario.items == 1:
            self.ratios.append(got.rate / ((before.rate + after.rate) / 2))
        else:
            self.ratios.append(got.rate * self.scenario.items / (raw_rate * (os.cpu_count() or 1)))

    def as_report(self) -> dict[str, object]:
        """Medians, for the JSON file."""
        found: dict[str, object] = {
            "ratio": round(statistics.median(self.ratios), 3),
            "ratio_min": round(min(self.ratios), 3),
            "ratio_max": round(max(self.ratios), 3),
            "aim": self.scenario.aim,
            "rate": round(statistics.median(got.rate for got in self.samples)),
            "p95_us": round(statistics.median(got.p95_us for got in self.samples)),
            "server_cpu_us": round(statistics.median(got.cpu_us for got in self.samples), 1),
            "server_cpu_ratio": round(statistics.median(self.cpu_ratios), 3),
        }
        if self.scenario.items > 1:
            found["signatures_per_request"] = self.scenario.items
        if self.scenario.name in REFERENCE_RATES:
            found["reference_rate"] = REFERENCE_RATES[self.scenario.name]
        return found


def measure(rounds: int, seconds: int, connections: int, misses: int) -> dict[str, object]:
    """Runs everything and returns the report."""
    floor: list[HttpSample] = []
    raw: list[float] = []
    sign = our_sign("Ed25519")
    with tempfile.TemporaryDirectory() as data_dir, bare_falcon() as bare:
        environment = {
            "KMS_WORKERS": str(WORKERS),
            "KMS_THREADS": str(THREADS),
            "KMS_MAX_INFLIGHT_SIGN": str(INFLIGHT),
        }
        with ServerProcess(Path(data_dir, "data"), env=environment) as server:
            target = Target(server.api_url, server.pid)
            rows = [Row(scenario) for scenario in scenarios(server, misses)]
            floor_load = Scenario("bare Falcon POST", rows[0].scenario.requests)

            def sample_floor() -> HttpSample:
                floor.append(sample(bare, floor_load, seconds=seconds, connections=connections))
                return floor[-1]

            before = sample_floor()
            for _ in range(rounds):
                raw.append(measure_rate(sign, RAW_SIGNATURES))
                for row in rows:
                    if row.scenario.fresh:
                        server.ronctl("cache", "sweep")
                    got = sample(target, row.scenario, seconds=seconds, connections=connections)
                    after = sample_floor()
                    row.add(got, before, after, raw[-1])
                    before = after
    return {
        "what": "requests/s over HTTP as a ratio to a bare Falcon POST (batches: signatures/s to raw "
        "speed times cores), medians of interleaved rounds; server_cpu_ratio: the floor's processor time "
        "per request over the scenario's",
        "machine": report.machine(),
        "settings": {
            "workers": WORKERS,
            "threads": THREADS,
            "connections": connections,
            "seconds": seconds,
            "rounds": rounds,
        },
        "bare_falcon": {
            "rate": round(statistics.median(got.rate for got in floor)),
            "p95_us": round(statistics.median(got.p95_us for got in floor)),
            "server_cpu_us": round(statistics.median(got.cpu_us for got in floor), 1),
        },
        "raw_sign_rate_one_core": round(statistics.median(raw)),
        "scenarios": {row.scenario.name: row.as_report() for row in rows},
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, default=None, help="directory for http.json and http.svg")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=2, help="length of a sample")
    options.add_argument("--connections", type=int, default=16)
    options.add_argument("--misses", type=int, default=30000, help="distinct signatures for cache misses")
    chosen = options.parse_args()
    made = measure(chosen.rounds, chosen.seconds, chosen.connections, chosen.misses)
    bare: dict[str, float] = made["bare_falcon"]  # type: ignore[assignment]
    rows: dict[str, dict[str, float]] = made["scenarios"]  # type: ignore[assignment]
    print(f"{'bare Falcon POST':20} {bare['rate']:>7} requests/s   {bare['server_cpu_us']:.0f} us of CPU")
    for name, row in rows.items():
        aim = f"  (aim {row['aim']})" if row["aim"] else ""
        print(
            f"{name:20} {row['rate']:>7} requests/s   ratio {row['ratio']:.3f}{aim}   p95 {row['p95_us']} us"
            f"   {row['server_cpu_us']:.0f} us of CPU, ratio {row['server_cpu_ratio']:.3f}"
        )
    if chosen.out:
        bars = [report.Bar(name, row["ratio"], row["aim"]) for name, row in rows.items()]
        report.write(chosen.out, "http", made, "Requests/s over HTTP as a ratio to a bare Falcon POST", bars)


if __name__ == "__main__":
    main()
