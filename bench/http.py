"""Requests per second over HTTP, each as a ratio to a bare Falcon POST (``make bench``).

Both servers run under gunicorn with the same workers, threads and keep-alive on loopback, and get their load
from the same generator. Every sample of a scenario stands between two samples of the floor (A B A B ...); a
ratio is the scenario's rate over the mean of the two floor rates beside it; the figure is the median of the
ratios. Absolute rates move with the machine, the ratios are what counts.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench import load
from tests.server_process import ServerProcess

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
THREADS = 4
KEEPALIVE = 4
AIMS = {
    "sign Ed25519": 0.75,
    "sign ML-DSA-65": None,
    "verify hit": 0.85,
    "verify miss": None,
    "401": 0.9,
    "403": 0.9,
}


@dataclass
class Scenario:
    """One kind of request; ``status`` is what every answer must be."""

    name: str
    path: str
    bodies: list[bytes]
    token: str
    ok: bool = True
    ratios: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    p95: list[int] = field(default_factory=list)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _body(**members: object) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()


@contextmanager
def bare_falcon() -> Iterator[str]:
    """The floor under gunicorn on a free port; yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread"]
    command += ["--workers", str(WORKERS), "--threads", str(THREADS), "--keep-alive", str(KEEPALIVE)]
    command += ["--log-level", "error", "bench.bare:app"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(100):
                try:
                    httpx.post(f"{url}/v1/kms/sign", content=b"{}").raise_for_status()
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            else:
                raise RuntimeError("bare Falcon did not start")
            yield url
        finally:
            process.terminate()


def _signed(client: httpx.Client, key_id: str, count: int) -> list[bytes]:
    """Verify bodies of ``count`` distinct messages, signed in batches."""
    bodies: list[bytes] = []
    for start in range(0, count, 1000):
        messages = [_b64(os.urandom(32)) for _ in range(start, min(start + 1000, count))]
        items = [{"key_id": key_id, "message": message} for message in messages]
        answer = client.post("/v1/kms/sign", json={"items": items}, timeout=60).raise_for_status().json()
        for message, item in zip(messages, answer["items"], strict=True):
            bodies.append(_body(key_id=key_id, message=message, signature=item["result"]["signature"]))
    return bodies


def scenarios(server: ServerProcess, misses: int) -> list[Scenario]:
    """Makes the keys and the bodies of every scenario."""
    with httpx.Client(base_url=server.api_url, headers={"Authorization": f"Bearer {server.token}"}) as client:
        for key_id, alg in (("bench-ed", "Ed25519"), ("bench-ml", "ML-DSA-65")):
            client.post(
                "/v1/kms/keys", json={"alg": alg, "usage": "sign", "key_id": key_id}
            ).raise_for_status()
        miss_bodies = _signed(client, "bench-ed", misses)
        hit_bodies = _signed(client, "bench-ed", 64)
    limited = server.mint(op=["verify"], key="nothing-*")
    message = _b64(os.urandom(32))
    sign_ed = [_body(key_id="bench-ed", message=_b64(os.urandom(32))) for _ in range(512)]
    sign_ml = [_body(key_id="bench-ml", message=_b64(os.urandom(32))) for _ in range(512)]
    plain = [_body(key_id="bench-ed", message=message)]
    return [
        Scenario("sign Ed25519", "/v1/kms/sign", sign_ed, server.token),
        Scenario("sign ML-DSA-65", "/v1/kms/sign", sign_ml, server.token),
        Scenario("verify hit", "/v1/kms/verify", hit_bodies, server.token),
        Scenario("verify miss", "/v1/kms/verify", miss_bodies, server.token),
        Scenario("401", "/v1/kms/sign", plain, "not-a-token", ok=False),
        Scenario("403", "/v1/kms/sign", plain, limited, ok=False),
    ]


def measure(repeats: int, seconds: int, connections: int, misses: int) -> dict[str, object]:
    """Runs everything and returns the report."""
    floor: list[float] = []
    with tempfile.TemporaryDirectory() as data_dir, bare_falcon() as bare_url:
        environment = {
            "KMS_WORKERS": str(WORKERS),
            "KMS_THREADS": str(THREADS),
        }
        with ServerProcess(Path(data_dir, "data"), env=environment) as server:
            rows = scenarios(server, misses)

            def sample_floor() -> float:
                got = load.run(
                    f"{bare_url}/v1/kms/sign",
                    rows[0].bodies,
                    authorization=f"Bearer {server.token}",
                    seconds=seconds,
                    connections=connections,
                )
                floor.append(got.rate)
                return got.rate

            before = sample_floor()
            for _ in range(repeats):
                for row in rows:
                    if row.name == "verify miss":
                        server.ronctl("cache", "sweep")
                    got = load.run(
                        server.api_url + row.path,
                        row.bodies,
                        authorization=f"Bearer {row.token}",
                        seconds=seconds,
                        connections=connections,
                    )
                    if row.ok and got.non_2xx:
                        raise RuntimeError(f"{row.name}: {got.non_2xx} answers were errors")
                    after = sample_floor()
                    row.ratios.append(got.rate / ((before + after) / 2))
                    row.rates.append(got.rate)
                    row.p95.append(got.p95_us)
                    before = after
    return {
        "what": "requests/s over HTTP as a ratio to a bare Falcon POST, medians of interleaved repeats",
        "machine": {
            "cpus": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
        "settings": {
            "workers": WORKERS,
            "threads": THREADS,
            "connections": connections,
            "seconds": seconds,
            "repeats": repeats,
        },
        "bare_falcon_rate": round(statistics.median(floor)),
        "scenarios": {
            row.name: {
                "ratio": round(statistics.median(row.ratios), 3),
                "ratio_min": round(min(row.ratios), 3),
                "ratio_max": round(max(row.ratios), 3),
                "rate": round(statistics.median(row.rates)),
                "p95_us": round(statistics.median(row.p95)),
                "aim": AIMS[row.name],
            }
            for row in rows
        },
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, default=None, help="directory for http.json")
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--seconds", type=int, default=2)
    options.add_argument("--connections", type=int, default=16)
    options.add_argument("--misses", type=int, default=30000)
    chosen = options.parse_args()
    report = measure(chosen.repeats, chosen.seconds, chosen.connections, chosen.misses)
    print(f"bare Falcon POST: {report['bare_falcon_rate']} requests/s")
    for name, row in report["scenarios"].items():  # type: ignore[attr-defined]
        aim = f"  (aim {row['aim']})" if row["aim"] else ""
        print(
            f"{name:16} {row['rate']:>7} requests/s   ratio {row['ratio']:.3f}   p95 {row['p95_us']} us{aim}"
        )
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        (chosen.out / "http.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
