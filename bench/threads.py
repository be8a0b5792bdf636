"""How many threads a worker should have: rate, latency and processor time by ``KMS_THREADS``.

One server for each thread count runs throughout, idle but for its own samples, and every round samples all
of them in turn, so that a slow phase of the machine meets all alike. Figures are medians of the rounds;
ratios are to the default's sample in the same round. ADR 0006 rests on this.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import report
from bench.bare_server import WORKERS
from bench.http_sample import HttpSample, Target, sample
from bench.scenarios import INFLIGHT, Scenario, scenarios
from ronkms.config.settings import Settings
from tests.server_process import ServerProcess

COUNTS = (1, 2, 4, 8)
DEFAULT = Settings().threads
SCENARIOS = ("sign Ed25519", "sign ML-DSA-65", "verify hit", "mixed")


def measure(counts: Sequence[int], rounds: int, seconds: int, connections: int) -> dict[str, object]:
    """Runs everything and returns the report."""
    found: dict[tuple[str, int], list[HttpSample]] = {}
    with tempfile.TemporaryDirectory() as directory, ExitStack() as running:
        servers: dict[int, tuple[Target, dict[str, Scenario]]] = {}
        for threads in counts:
            environment = {
                "KMS_WORKERS": str(WORKERS),
                "KMS_THREADS": str(threads),
                "KMS_MAX_INFLIGHT_SIGN": str(INFLIGHT),
            }
            server = running.enter_context(ServerProcess(Path(directory, str(threads)), env=environment))
            known = {scenario.name: scenario for scenario in scenarios(server, misses=1)}
            servers[threads] = Target(server.api_url, server.pid), known
        for _ in range(rounds):
            for name in SCENARIOS:
                for threads, (target, known) in servers.items():
                    got = sample(target, known[name], seconds=seconds, connections=connections)
                    found.setdefault((name, threads), []).append(got)
    return {
        "what": "requests/s, p95 and processor time per request by threads in each worker, medians of "
        f"interleaved rounds; ratios are to {DEFAULT} threads in the same round",
        "machine": report.machine(),
        "settings": {"workers": WORKERS, "connections": connections, "seconds": seconds, "rounds": rounds},
        "scenarios": {
            name: {str(threads): _row(found[name, threads], found[name, DEFAULT]) for threads in counts}
            for name in SCENARIOS
        },
    }


def _row(ours: Sequence[HttpSample], default: Sequence[HttpSample]) -> dict[str, float]:
    pairs = list(zip(ours, default, strict=True))
    return {
        "rate": round(statistics.median(got.rate for got in ours)),
        "rate_ratio": round(statistics.median(got.rate / base.rate for got, base in pairs), 3),
        "p95_us": round(statistics.median(got.p95_us for got in ours)),
        "server_cpu_us": round(statistics.median(got.cpu_us for got in ours), 1),
        "server_cpu_ratio": round(statistics.median(got.cpu_us / base.cpu_us for got, base in pairs), 3),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, default=None, help="directory for threads.json")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=2, help="length of a sample")
    options.add_argument("--connections", type=int, default=16)
    chosen = options.parse_args()
    made = measure(COUNTS, chosen.rounds, chosen.seconds, chosen.connections)
    rows: dict[str, dict[str, dict[str, float]]] = made["scenarios"]  # type: ignore[assignment]
    for name, by_threads in rows.items():
        for threads, row in by_threads.items():
            print(
                f"{name:16} {threads:>2} threads {row['rate']:>7.0f} requests/s ({row['rate_ratio']:.3f})"
                f"   p95 {row['p95_us']:>6.0f} us"
                f"   {row['server_cpu_us']:.0f} us of CPU ({row['server_cpu_ratio']:.3f})"
            )
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        (chosen.out / "threads.json").write_text(json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    main()
