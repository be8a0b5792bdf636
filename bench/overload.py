"""What a flood and an overload cost (part of ``make bench``): fair share, closed loop, open loop, burst.

Every request signs a batch of messages with ML-DSA-65, so that the generator, which shares the processors
with the server, costs little beside it. Capacity is measured first, in the same run. Fair share: 19 tenants
send steadily at half of a twentieth of the capacity each, alone and beside one that floods from 64
connections, in turn (A B A B).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from bench import load, open_loop, refusals, report
from bench.http_sample import cpu_seconds
from bench.load import Request
from bench.open_loop import PATIENCE, Stream, Summary
from bench.scenarios import SIGN, body, make_key, random_message
from bench.wsgi_operations import refusal_cost
from ronkms.config.settings import Settings
from tests.server_process import ServerProcess

ITEMS = 16
SATURATING = 16
"""Closed-loop connections that use all of the server."""
FLOOD_CONNECTIONS = 64
STEADY_TENANTS = 19
POOL = 1400
"""Connections of the open loop at three times the capacity: more than can be answered within the deadline."""
NO_PATIENCE = 0.05
"""In the open loop beyond the capacity the wait is the server's alone: who finds no connection goes away."""
DEADLINE_MS = Settings().queue_deadline_ms


class Watch:
    """Asks ``/healthz`` and ``/metrics`` again and again; the longest answer of each in milliseconds."""

    def __init__(self, server: ServerProcess) -> None:
        self.times: dict[str, list[float]] = {"/healthz": [], "/metrics": []}
        self.memory: list[float] = []
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            for path, times in self.times.items():
                began = time.monotonic()
                with urllib.request.urlopen(self._server.admin_url + path, timeout=10) as answer:
                    text = answer.read().decode()
                times.append((time.monotonic() - began) * 1000)
            self.memory += [
                float(line.split()[1]) for line in text.splitlines() if line.startswith("kms_rss_bytes ")
            ]

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def as_report(self) -> dict[str, float]:
        """Percentiles and the growth of the resident memory of all processes together."""
        found: dict[str, float] = {}
        for path, times in self.times.items():
            found[f"{path}_p95_ms"] = round(sorted(times)[int(len(times) * 0.95)], 1)
            found[f"{path}_max_ms"] = round(max(times), 1)
        found["rss_growth_ratio"] = round(self.memory[-1] / self.memory[0], 3)
        return found


class Overload:
    """One server and its measurements."""

    def __init__(self, server: ServerProcess, seconds: int, rounds: int) -> None:
        self._server = server
        self._seconds = seconds
        self._rounds = rounds
        parts = urlsplit(server.api_url)
        self._address = (str(parts.hostname), int(parts.port or 0))
        self._flood = self._requests("flood")
        self._steady = [self._requests(f"steady-{number}") for number in range(STEADY_TENANTS)]
        self.capacity = statistics.median(self._closed(SATURATING).rate for _ in range(3))

    def _requests(self, tenant: str) -> Request:
        token = self._server.mint(op=["sign", "create"], tenant=tenant)
        with httpx.Client(
            base_url=self._server.api_url, headers={"Authorization": f"Bearer {token}"}
        ) as client:
            make_key(client, "k", "ML-DSA-65", "sign")
        items = [{"key_id": "k", "message": random_message()} for _ in range(ITEMS)]
        return Request(SIGN, token, body(items=items))

    def _closed(self, connections: int) -> load.Sample:
        return load.run(self._server.api_url, [self._flood], seconds=self._seconds, connections=connections)

    def _open(
        self, requests: Sequence[Request], rate: float, connections: int, patience: float = PATIENCE
    ) -> Summary:
        streams = [
            Stream(each.token, each.path, each.body.decode(), rate / len(requests), connections)
            for each in requests
        ]
        return open_loop.run(*self._address, streams, self._seconds, patience)

    def fair_share(self) -> dict[str, object]:
        """The steady tenants alone and beside the flood."""
        rate = self.capacity / (STEADY_TENANTS + 1) / 2 * STEADY_TENANTS
        alone, beside = [], []
        floods: list[load.Sample] = []
        for _ in range(self._rounds):
            alone.append(self._open(self._steady, rate, 4))
            with self._flooding(floods):
                beside.append(self._open(self._steady, rate, 4))
        return {
            "steady_rate": round(rate, 1),
            "served_ratio": _median(b.served / a.served for a, b in zip(alone, beside, strict=True)),
            "p95_alone_ms": _median(each.p95_ms for each in alone),
            "p95_beside_ms": _median(each.p95_ms for each in beside),
            "p95_ratio": _median(b.p95_ms / a.p95_ms for a, b in zip(alone, beside, strict=True)),
            "steady_refused": sum(
                count for each in beside for status, count in each.statuses.items() if status != "200"
            ),
            "flood_rate": _median(each.rate for each in floods),
            "flood_p95_ms": _median(each.p95_us / 1000 for each in floods),
            "flood_refused": sum(each.non_2xx for each in floods),
            "generator_cpu_share": _median(each.generator_cpu_seconds / self._seconds for each in beside),
        }

    @contextmanager
    def _flooding(self, samples: list[load.Sample]) -> Iterator[None]:
        def flood() -> None:
            samples.append(
                load.run(
                    self._server.api_url,
                    [self._flood],
                    seconds=self._seconds + 3,
                    connections=FLOOD_CONNECTIONS,
                )
            )

        thread = threading.Thread(target=flood)
        thread.start()
        time.sleep(1)
        yield
        thread.join()

    def closed_loop(self) -> dict[str, object]:
        """Ten times the connections that saturate, beside as many as saturate, in turn."""
        peak, over = [], []
        with Watch(self._server) as watch:
            for _ in range(self._rounds):
                peak.append(self._closed(SATURATING))
                over.append(self._closed(10 * SATURATING))
        goodput = [each.rate * (1 - each.non_2xx / each.answers) for each in over]
        return {
            "goodput_ratio": _median(got / top.rate for got, top in zip(goodput, peak, strict=True)),
            "p95_saturated_ms": _median(each.p95_us / 1000 for each in peak),
            "p95_ms": _median(each.p95_us / 1000 for each in over),
            "refused": sum(each.non_2xx for each in over),
            **watch.as_report(),
        }

    def three_times(self) -> dict[str, object]:
        """An open loop at three times the capacity."""
        unloaded = self._open([self._flood], self.capacity * 0.05, 16)
        before = cpu_seconds(self._server.pid)
        with Watch(self._server) as watch:
            got = self._open([self._flood], self.capacity * 3, POOL, NO_PATIENCE)
        return {
            "offered": got.offered,
            "statuses": got.statuses,
            "unsent": got.unsent,
            "errors": got.errors,
            "goodput_ratio": round(got.served_meanwhile / self._seconds / self.capacity, 3),
            "p95_ms": got.p95_ms,
            "p95_limit_ms": round(DEADLINE_MS + unloaded.p95_ms, 1),
            "server_cpu_seconds": round(cpu_seconds(self._server.pid) - before, 2),
            "generator_cpu_seconds": got.generator_cpu_seconds,
            **watch.as_report(),
        }

    def burst(self) -> dict[str, object]:
        """Ten times the baseline: from 3% to 30% of the capacity, and to 100%."""
        base, tenfold = [], []
        for _ in range(self._rounds):
            base.append(self._open([self._flood], self.capacity * 0.03, 64))
            tenfold.append(self._open([self._flood], self.capacity * 0.3, 64))
        full = self._open([self._flood], self.capacity, 256)
        return {
            "p95_at_3_percent_ms": _median(each.p95_ms for each in base),
            "p95_at_30_percent_ms": _median(each.p95_ms for each in tenfold),
            "p95_ratio": _median(b.p95_ms / a.p95_ms for a, b in zip(base, tenfold, strict=True)),
            "shed_share_at_30_percent": _median(1 - each.served / each.offered for each in tenfold),
            "p95_at_100_percent_ms": full.p95_ms,
            "shed_share_at_100_percent": round(1 - full.served / full.offered, 4),
        }


def _median(values: Iterator[float]) -> float:
    return round(statistics.median(values), 3)


def measure(seconds: int, rounds: int) -> dict[str, object]:
    """Runs everything and returns the report."""
    with (
        tempfile.TemporaryDirectory() as directory,
        ServerProcess(Path(directory, "data"), {"KMS_WORKERS": "2"}) as server,
    ):
        overload = Overload(server, seconds, rounds)
        return {
            "what": f"signing batches of {ITEMS} with ML-DSA-65 under floods and overload, "
            "all limits at their defaults",
            "machine": report.machine(),
            "settings": {"seconds": seconds, "rounds": rounds, "workers": 2},
            "capacity_requests_per_second": round(overload.capacity, 1),
            "fair_share": overload.fair_share(),
            "closed_loop_10_times": overload.closed_loop(),
            "open_loop_3_times": overload.three_times(),
            "burst": overload.burst(),
            "cost_of_a_refusal": refusal_cost()
            | {"over_sockets": refusals.measure(min(seconds, 3), rounds, SATURATING)},
        }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, default=None, help="directory for overload.json")
    options.add_argument("--seconds", type=int, default=10, help="length of a sample")
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    made = measure(chosen.seconds, chosen.rounds)
    print(json.dumps(made, indent=2))
    if chosen.out:
        report.write(chosen.out, "overload", made, "Floods and overload", bars(made))


def bars(made: dict[str, Any]) -> list[report.Bar]:
    """What has an aim; the latencies as parts of what they may be, so that 1 is the limit."""
    fair, closed, triple, burst = (
        made[name] for name in ("fair_share", "closed_loop_10_times", "open_loop_3_times", "burst")
    )
    return [
        report.Bar("fair share: throughput beside the flood", fair["served_ratio"], 0.95),
        report.Bar("fair share: p95 beside the flood over alone", fair["p95_ratio"], 2.0),
        report.Bar("10 times the connections: goodput over peak", closed["goodput_ratio"], 0.8),
        report.Bar("3 times the capacity: goodput over capacity", triple["goodput_ratio"], 0.8),
        report.Bar("3 times: p95 over its limit", triple["p95_ms"] / triple["p95_limit_ms"], 1.0),
        report.Bar("burst to 30%: p95 over that at 3%", burst["p95_ratio"], 1.15),
    ]


if __name__ == "__main__":
    main()
