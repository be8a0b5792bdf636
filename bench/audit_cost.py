"""What the audit log costs: signatures over HTTP, against a build without it (part of ``make bench``).

Two servers with equal settings, one of them with ``bench.unlogged``, are sampled in turn (A B A B ...) until
the logged one has recorded ``--signs`` signatures. The ratio of rates is logged over unlogged, that of
processor time unlogged over logged; all processes of the server count, so checkpoints do too; the aim is 0.9.
The log is verified at the end, and must hold a record for each answer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

import httpx

from bench import report
from bench.bare_server import THREADS, WORKERS
from bench.http_sample import HttpSample, Target, sample
from bench.load import Request
from bench.scenarios import SIGN, Scenario, body, make_key, random_message
from bench.unlogged import unlogged_environment
from tests.server_process import ROOT, ServerProcess

AIM = 0.9
ALGORITHMS = {"Ed25519": "ed", "ML-DSA-65": "ml"}
SIGNS = 100_000
MESSAGES = 512


class WrongLogError(Exception):
    """The log does not hold what was signed, or the unlogged build logs."""


def measure(signs: int, seconds: int, connections: int) -> dict[str, object]:
    """Runs everything. Raises WrongLogError."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        unlogged = unlogged_environment(Path(scratch, "build"))
        unlogged["PYTHONPATH"] += os.pathsep + str(ROOT)
        servers = {
            name: stack.enter_context(ServerProcess(Path(scratch, name), env=_settings() | environment))
            for name, environment in {"unlogged": unlogged, "logged": {}}.items()
        }
        found = {
            alg: _compare(servers, alg, key, signs, seconds, connections) for alg, key in ALGORITHMS.items()
        }
        recorded = {name: _records(server) for name, server in servers.items()}
        answered = {
            name: sum(each["answers"][name] for each in found.values())  # type: ignore[index]
            for name in servers
        }
        if recorded["logged"] < answered["logged"] or recorded["unlogged"] > answered["unlogged"] / 10:
            raise WrongLogError(f"records {recorded}, answered signatures {answered}")
        servers["logged"].ronctl("audit", "verify")
    return {
        "what": "signatures over HTTP with the audit log to those of a build without it: requests/s, and "
        "processor time per request of all processes (unlogged over logged)",
        "machine": report.machine(),
        "settings": _settings() | {"seconds": seconds, "connections": connections},
        "records": recorded,
        "algorithms": found,
    }


def _settings() -> dict[str, str]:
    return {"KMS_WORKERS": str(WORKERS), "KMS_THREADS": str(THREADS)}


def _compare(
    servers: dict[str, ServerProcess], alg: str, key: str, signs: int, seconds: int, connections: int
) -> dict[str, object]:
    loads: dict[str, tuple[Target, Scenario]] = {}
    for name, server in servers.items():
        with httpx.Client(
            base_url=server.api_url, headers={"Authorization": f"Bearer {server.token}"}
        ) as client:
            make_key(client, key, alg, "sign")
        requests = [
            Request(SIGN, server.token, body(key_id=key, message=random_message())) for _ in range(MESSAGES)
        ]
        loads[name] = Target(server.api_url, server.pid), Scenario(name, requests)
        sample(*loads[name], seconds=1, connections=connections)
    rounds: list[dict[str, HttpSample]] = []
    while sum(each["logged"].answers for each in rounds) < signs:
        rounds.append(
            {name: sample(*load, seconds=seconds, connections=connections) for name, load in loads.items()}
        )
    return {
        "rate_ratio": round(statistics.median(r["logged"].rate / r["unlogged"].rate for r in rounds), 3),
        "server_cpu_ratio": round(
            statistics.median(r["unlogged"].cpu_us / r["logged"].cpu_us for r in rounds), 3
        ),
        "server_cpu_us": {
            name: round(statistics.median(r[name].cpu_us for r in rounds), 1) for name in loads
        },
        "rate": {name: round(statistics.median(r[name].rate for r in rounds)) for name in loads},
        "answers": {name: sum(r[name].answers for r in rounds) for name in loads},
        "rounds": len(rounds),
        "aim": AIM,
    }


def _records(server: ServerProcess) -> int:
    """How many its log holds."""
    return int(server.ronctl("audit", "head").stdout.partition(":")[0])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, default=None, help="directory for audit_cost.json and .svg")
    options.add_argument("--signs", type=int, default=SIGNS, help="signatures of each algorithm")
    options.add_argument("--seconds", type=int, default=2, help="length of a sample")
    options.add_argument("--connections", type=int, default=16)
    chosen = options.parse_args()
    made = measure(chosen.signs, chosen.seconds, chosen.connections)
    rows: dict[str, dict[str, float]] = made["algorithms"]  # type: ignore[assignment]
    for alg, row in rows.items():
        print(
            f"{alg:10} rate {row['rate_ratio']:.3f} of unlogged, processor time {row['server_cpu_ratio']:.3f}"
            f"  (aim {AIM:g})   {row['server_cpu_us']} us of CPU, {row['answers']} answers"
        )
    if chosen.out:
        bars = [
            report.Bar(f"{alg}, {what}", row[name], AIM)
            for alg, row in rows.items()
            for what, name in (("requests/s", "rate_ratio"), ("processor time", "server_cpu_ratio"))
        ]
        report.write(chosen.out, "audit_cost", made, "Signing with the audit log, relative to without", bars)


if __name__ == "__main__":
    main()
