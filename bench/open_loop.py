"""An open-loop load generator: requests leave by the clock, whether or not earlier ones were answered.

``python -m bench.open_loop`` reads a plan (JSON) from its input and prints a summary. A latency counts from
the moment that the request was due (no coordinated omission). A request whose tenant has no idle connection
left when it is due waits for one, in order; one that has not left within a second of its due time is given up
by the client and counted as ``unsent``.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 1.0
DRAIN_SECONDS = 2.0
"""After the last request was due: for the answers that are under way."""
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass(frozen=True)
class Stream:
    """One tenant's requests: ``rate`` a second over at most ``connections`` connections."""

    token: str
    path: str
    body: str
    rate: float
    connections: int


@dataclass(frozen=True)
class Summary:
    """What came back; latencies (milliseconds) are those of 200s."""

    offered: int
    served: int
    served_meanwhile: int
    """200s that came while requests were due: those of the drain do not count as throughput."""
    statuses: dict[str, int]
    unsent: int
    errors: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    generator_cpu_seconds: float


def run(host: str, port: int, streams: Sequence[Stream], seconds: float, patience: float) -> Summary:
    """Runs the generator as a process of its own; ``patience`` in seconds. Raises RuntimeError."""
    plan = {
        "host": host,
        "port": port,
        "seconds": seconds,
        "patience": patience,
        "streams": [asdict(each) for each in streams],
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.open_loop"],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr}")
    return Summary(**json.loads(done.stdout))


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._due = 0.0
        self._received = b""
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, request: bytes, due: float) -> None:
        assert self._transport is not None
        self.busy, self._due, self._received = True, due, b""
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = _LENGTH.search(head)
        if length is None or len(body) < int(length[1]):
            return
        self.busy = False
        self._load.answered(head[9:12].decode(), self._due)
        if b"\r\nConnection: close" in head:
            assert self._transport is not None
            self._transport.close()
        else:
            self._load.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.busy:
            self._load.errors += 1
        elif self in self._load.idle:
            self._load.idle.remove(self)
        self._load.open -= 1


class _Load:
    """One stream under way."""

    def __init__(self, plan: dict[str, object], stream: Stream) -> None:
        self._host, self._port = str(plan["host"]), int(str(plan["port"]))
        self._seconds = float(str(plan["seconds"]))
        self._patience = float(str(plan["patience"]))
        self._stream = stream
        body = stream.body.encode()
        self._request = (
            f"POST {stream.path} HTTP/1.1\r\nHost: kms\r\nAuthorization: Bearer {stream.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self.idle: deque[_Connection] = deque()
        self.open = 0
        self.errors = 0
        self.unsent = 0
        self.offered = 0
        self.statuses: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.served_meanwhile = 0
        self._end = 0.0
        self._clock = asyncio.get_running_loop().time

    def answered(self, status: str, due: float) -> None:
        self.statuses[status] += 1
        if status == "200":
            now = self._clock()
            self.latencies.append((now - due) * 1000)
            self.served_meanwhile += now < self._end

    async def run(self, phase: float) -> None:
        interval = 1 / self._stream.rate
        began = self._clock() + phase * interval
        self._end = began + self._seconds
        waiting: deque[float] = deque()
        number = 0
        while (now := self._clock()) < self._end:
            while began + number * interval <= now:
                waiting.append(began + number * interval)
                number += 1
            await self._send(waiting, now)
            await asyncio.sleep(max(0.0, min(began + number * interval - self._clock(), 0.02)))
        self.offered = number
        self.unsent += len(waiting)
        await asyncio.sleep(DRAIN_SECONDS)

    async def _send(self, waiting: deque[float], now: float) -> None:
        while waiting and waiting[0] < now - self._patience:
            waiting.popleft()
            self.unsent += 1
        while waiting and (self.idle or self.open < self._stream.connections):
            connection = self.idle.popleft() if self.idle else await self._connect()
            if connection is None:
                return
            connection.send(self._request, waiting.popleft())

    async def _connect(self) -> _Connection | None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self), self._host, self._port
            )
        except OSError:
            self.errors += 1
            return None
        self.open += 1
        return connection


async def _main() -> None:
    plan = json.load(sys.stdin)
    loads = [_Load(plan, Stream(**stream)) for stream in plan["streams"]]
    await asyncio.gather(*(load.run(number / len(loads)) for number, load in enumerate(loads)))
    latencies = sorted(latency for load in loads for latency in load.latencies) or [0.0]
    statuses: Counter[str] = Counter()
    for load in loads:
        statuses.update(load.statuses)
    used = resource.getrusage(resource.RUSAGE_SELF)
    summary = Summary(
        offered=sum(load.offered for load in loads),
        served=statuses["200"],
        served_meanwhile=sum(load.served_meanwhile for load in loads),
        statuses=dict(statuses),
        unsent=sum(load.unsent for load in loads),
        errors=sum(load.errors for load in loads),
        p50_ms=round(latencies[len(latencies) // 2], 2),
        p95_ms=round(latencies[int(len(latencies) * 0.95)], 2),
        max_ms=round(latencies[-1], 2),
        generator_cpu_seconds=round(used.ru_utime + used.ru_stime, 3),
    )
    print(json.dumps(asdict(summary)))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(_main())
