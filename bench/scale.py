"""Processor time per request as keys and tenants grow (part of ``make bench``).

Three servers with equal settings run side by side and are sampled in turn: one with one key, one with many
keys of one tenant, one with many tenants that have a key and a token each. A cost is the server's processor
time per Ed25519 signature over that of the server with one key, the median of the rounds: 1.0 means that
growth is free. Of the many keys each is used alike (uniform), or a thousandth part of them, or one. Before,
each server gets so many requests that nearly every worker has met every key and token that is used.

At the end the verify cache of the server with many keys is filled by verifying as many signatures as it has
entries, and the proportional memory of all its processes is taken.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from bench import report
from bench.bare_server import THREADS, WORKERS
from bench.http_sample import Target, sample
from bench.load import Request
from bench.scenarios import SIGN, VERIFY, Scenario, body, make_key, random_message, signed
from ronkms.app import Application
from ronkms.cli.ronctl_admin import ask
from ronkms.config import load_settings
from ronkms.domain.key import Origin
from ronkms.domain.key_policy import KeyPolicy
from ronkms.domain.operation import Operation
from ronkms.server.admin_messages import MintArguments, MintedToken
from tests.e2e.support.process_tree import descendants, proportional_memory
from tests.server_process import ServerProcess

AIM = 1.10
TOKEN_SECONDS = 3600
MEMORY_AIM_MIB = 512
WARM_PASSES = 6
"""A request meets either worker: after six passes, one key in 32 is still new to one of two workers."""
WARM_SECONDS = 10
"""Length of a part of the warming."""
HOT = 1000
"""One key in so many is hot."""
CACHE_ENTRIES = 262_144
BATCH = 1000
FULL = 0.95
"""Share of its places from which on the cache counts as full: a set may still have a free place."""


@dataclass(frozen=True)
class Owned:
    """A key and its tenant."""

    tenant: str
    key_id: str


def make_keys(directory: Path, owned: Sequence[Owned]) -> None:
    """Creates Ed25519 keys through the store, before a server runs on ``directory``."""
    application = Application(load_settings({"KMS_DATA_DIR": str(directory)}, dev=True))
    try:
        for key in owned:
            application.store.create(
                tenant=key.tenant,
                key_id=key.key_id,
                alg="Ed25519",
                backend="file",
                labels={},
                policy=KeyPolicy(),
                origin=Origin.GENERATED,
                seal=partial(application.backends["file"].generate, "Ed25519"),
            )
    finally:
        application.close()


def sign_requests(directory: Path, owned: Sequence[Owned]) -> list[Request]:
    """One signature by each key, with one token a tenant."""
    tokens: dict[str, str] = {}
    for key in owned:
        if key.tenant not in tokens:
            arguments = MintArguments(key.tenant, [Operation.SIGN], TOKEN_SECONDS)
            tokens[key.tenant] = ask(directory, "cap.mint", MintedToken, arguments).token
    return [
        Request(SIGN, tokens[key.tenant], body(key_id=key.key_id, message=random_message())) for key in owned
    ]


def measure(keys: int, tenants: int, rounds: int, seconds: int, connections: int) -> dict[str, object]:
    """Runs everything and returns the report."""
    populations = {
        "one key": [Owned("default", "key-0")],
        f"{keys:,} keys": [Owned("default", f"key-{number}") for number in range(keys)],
        f"{tenants:,} tenants": [Owned(f"tenant-{number}", "key-0") for number in range(tenants)],
    }
    environment = {"KMS_WORKERS": str(WORKERS), "KMS_THREADS": str(THREADS)}
    loads: dict[str, tuple[Target, Scenario]] = {}
    with ExitStack() as stack:
        for name, owned in populations.items():
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()), "data")
            make_keys(directory, owned)
            server = stack.enter_context(ServerProcess(directory, env=environment))
            requests = sign_requests(directory, owned)
            target = Target(server.api_url, server.pid)
            loads[name] = target, Scenario(name, requests)
            if name == f"{keys:,} keys":
                crowded = server
                loads[f"{name}, one of them used"] = target, Scenario(name, requests[:1])
                loads[f"{name}, {keys // HOT:,} of them used"] = target, Scenario(name, requests[::HOT])
        costs: dict[str, list[float]] = {name: [] for name in loads}
        for target, scenario in loads.values():
            warm_up(target, scenario, connections)
        for _ in range(rounds):
            for name, (target, scenario) in loads.items():
                got = sample(target, scenario, seconds=seconds, connections=connections)
                costs[name].append(got.cpu_us)
        memory = {
            name: proportional_memory(descendants(target.pid)) >> 20 for name, (target, _) in loads.items()
        }
        entries = fill_cache(crowded)
        full = proportional_memory(descendants(crowded.pid)) >> 20
    return {
        "what": "processor time of the server per Ed25519 signature over HTTP, relative to one key",
        "machine": report.machine(),
        "settings": {"rounds": rounds, "seconds": seconds, "connections": connections},
        "memory": {
            "keys": keys,
            "verify_cache_entries": entries,
            "proportional_memory_mib": full,
            "aim_mib": MEMORY_AIM_MIB,
            "ready_seconds": round(crowded.ready_seconds, 2),
        },
        "costs": {
            name: {
                "cost": round(relative(found, costs["one key"]), 3),
                "server_cpu_us": round(statistics.median(found), 1),
                "proportional_memory_mib": memory[name],
                "aim": AIM,
            }
            for name, found in costs.items()
        },
    }


def warm_up(target: Target, scenario: Scenario, connections: int) -> None:
    """Sends every request ``WARM_PASSES`` times."""
    left = float(len(scenario.requests) * WARM_PASSES)
    while left > 0:
        left -= sample(target, scenario, seconds=WARM_SECONDS, connections=connections).rate * WARM_SECONDS


def fill_cache(server: ServerProcess) -> int:
    """Verifies new signatures until the cache is full. Returns its entries. Raises RuntimeError."""
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.api_url, headers=headers, timeout=120) as client:
        make_key(client, "cached", "Ed25519", "sign")
        for _ in range(2 * CACHE_ENTRIES // BATCH):
            items = [json.loads(item) for item in signed(client, "cached", BATCH)]
            client.post(VERIFY, json={"items": items}).raise_for_status()
            entries = cache_size(server)
            if entries >= FULL * CACHE_ENTRIES:
                return entries
    raise RuntimeError(f"the verify cache has only {entries} entries")


def cache_size(server: ServerProcess) -> int:
    """The metric ``verify_cache_size``."""
    found = re.search(
        r"^verify_cache_size (\S+)$", httpx.get(f"{server.admin_url}/metrics").text, re.MULTILINE
    )
    return int(float(found[1])) if found else 0


def relative(costs: Sequence[float], single: Sequence[float]) -> float:
    """The median of the rounds' quotients."""
    return statistics.median(cost / one for cost, one in zip(costs, single, strict=True))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, default=None, help="directory for scale.json and scale.svg")
    options.add_argument("--keys", type=int, default=100_000)
    options.add_argument("--tenants", type=int, default=1_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=2, help="length of a sample")
    options.add_argument("--connections", type=int, default=16)
    chosen = options.parse_args()
    made = measure(chosen.keys, chosen.tenants, chosen.rounds, chosen.seconds, chosen.connections)
    rows: dict[str, dict[str, float]] = made["costs"]  # type: ignore[assignment]
    for name, row in rows.items():
        print(
            f"{name:32} cost {row['cost']:.3f}  (aim at most {AIM:g})   {row['server_cpu_us']:.0f} us of CPU"
            f"   {row['proportional_memory_mib']} MiB"
        )
    full: dict[str, float] = made["memory"]  # type: ignore[assignment]
    print(
        f"{full['keys']:,} keys and {full['verify_cache_entries']:,} verdicts: "
        f"{full['proportional_memory_mib']} MiB  "
        f"(aim at most {MEMORY_AIM_MIB}), ready after {full['ready_seconds']} s"
    )
    if chosen.out:
        bars = [report.Bar(name, row["cost"], row["aim"]) for name, row in rows.items()]
        title = "Processor time per signature, relative to one key (aim: at most)"
        report.write(chosen.out, "scale", made, title, bars)


if __name__ == "__main__":
    main()
