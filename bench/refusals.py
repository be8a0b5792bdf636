"""Processor time of a refusal over a socket, beside that of a bare Falcon POST (for ``bench.overload``).

One client holds all of the capacity: its request was admitted, and the rest of its body does not come. Every
other request is then refused before its body is read. The refusals are 503s; a 429 takes the same way, and
its connection is parked afterwards, so that the next one costs nothing for a second.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import httpx

from bench.bare_server import THREADS, WORKERS, bare_falcon
from bench.http_sample import HttpSample, Target, sample
from bench.load import Request
from bench.scenarios import SIGN, Scenario, body, make_key, random_message
from tests.integration.raw_http import RawConnection
from tests.server_process import ServerProcess

SETTINGS = {
    "KMS_WORKERS": str(WORKERS),
    "KMS_THREADS": str(THREADS),
    "KMS_MAX_INFLIGHT_SIGN": "1",
    "KMS_REQUEST_TIMEOUT_MS": "300000",
}


def measure(seconds: int, rounds: int, connections: int) -> dict[str, float]:
    """Medians of interleaved rounds. Raises RuntimeError if a request was not refused."""
    with (
        tempfile.TemporaryDirectory() as directory,
        bare_falcon() as bare,
        ServerProcess(Path(directory, "data"), SETTINGS) as server,
    ):
        requests = _requests(server)
        with RawConnection(server.api_url) as holder:
            holder.send_head("POST", SIGN, requests[0].token, len(requests[0].body))
            refused, floor = Scenario("refused", requests, refused=True), Scenario("floor", requests)
            target = Target(server.api_url, server.pid)
            found: list[tuple[HttpSample, HttpSample]] = [
                (
                    sample(target, refused, seconds=seconds, connections=connections),
                    sample(bare, floor, seconds=seconds, connections=connections),
                )
                for _ in range(rounds)
            ]
            holder.send(requests[0].body)
    return {
        "server_cpu_us": round(statistics.median(got.cpu_us for got, _ in found), 1),
        "bare_falcon_cpu_us": round(statistics.median(bare.cpu_us for _, bare in found), 1),
        "cpu_ratio": round(statistics.median(got.cpu_us / bare.cpu_us for got, bare in found), 3),
        "refusals_per_second": round(statistics.median(got.rate for got, _ in found)),
    }


def _requests(server: ServerProcess) -> list[Request]:
    with httpx.Client(base_url=server.api_url, headers={"Authorization": f"Bearer {server.token}"}) as client:
        make_key(client, "k", "Ed25519", "sign")
        requests = [
            Request(SIGN, server.token, body(key_id="k", message=random_message())) for _ in range(64)
        ]
        for request in requests:
            client.post(
                SIGN, content=request.body, headers={"Content-Type": "application/json"}
            ).raise_for_status()
    return requests
