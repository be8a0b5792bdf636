"""A real server with audit sinks, and the peers of the sinks as processes of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.server_process import ServerProcess

SIGN = {"key_id": "k", "message": "aGVsbG8="}
SECONDS = 60.0
"""How long anything may take on a loaded machine; what it took is printed."""

_RECORD = re.compile(rb'record="([0-9]+)"')


class Peer:
    """A process that can be killed, stopped and started again."""

    def __init__(self, script: str, *arguments: str) -> None:
        self._command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running(peer: Peer) -> Iterator[Peer]:
    peer.start()
    try:
        yield peer
    finally:
        peer.kill()


class SinkServer:
    """``sinks`` are TOML tables as dictionaries."""

    def __init__(self, directory: Path, *sinks: dict[str, str | int], **env: str) -> None:
        tables = [
            "{" + ", ".join(f"{name} = {json.dumps(value)}" for name, value in sink.items()) + "}"
            for sink in sinks
        ]
        self.process = ServerProcess(
            directory / "data", env={"KMS_AUDIT_SINKS": f"[{', '.join(tables)}]", **env}
        )
        self._client: httpx.Client | None = None

    def __enter__(self) -> SinkServer:
        self.process.start(timeout=SECONDS)
        headers = {"Authorization": f"Bearer {self.process.token}"}
        self._client = httpx.Client(base_url=self.process.api_url, headers=headers, timeout=SECONDS)
        key = {"alg": "Ed25519", "usage": "sign", "key_id": "k"}
        assert self._client.post("/v1/kms/keys", json=key).status_code == 201
        return self

    def __exit__(self, *error: Any) -> None:
        if self._client is not None:
            self._client.close()
        self.process.__exit__(*error)

    def sign(self) -> int:
        """The status of one request."""
        assert self._client is not None
        return self._client.post("/v1/kms/sign", json=SIGN).status_code

    def sign_many(self, count: int) -> float:
        """All of them succeed; how many a second."""
        began = time.monotonic()
        for _ in range(count):
            assert self.sign() == 200
        return count / (time.monotonic() - began)

    def sinks(self) -> dict[str, dict[str, Any]]:
        """By name, as ``ronctl audit sinks --json`` shows them."""
        shown = self.process.ronctl("audit", "sinks", "--json", check=False).stdout.splitlines()[0]
        return {sink["name"]: sink for sink in json.loads(shown)["sinks"]}

    def feeder(self) -> int:
        """Process id of the process that feeds the sinks."""
        shown = self.process.ronctl("audit", "sinks", "--json", check=False).stdout.splitlines()[0]
        pid: int = json.loads(shown)["pid"]
        return pid

    def signal_feeder(self, number: int) -> None:
        os.kill(self.feeder(), number)

    def metric(self, name: str, sink: str = "") -> float:
        """Its value."""
        text = httpx.get(f"{self.process.admin_url}/metrics", timeout=SECONDS).text
        start = f'{name}{{sink="{sink}"}} ' if sink else f"{name} "
        return float(next(line for line in text.splitlines() if line.startswith(start)).split()[-1])

    def is_up(self, sink: str) -> bool:
        return self.metric("kms_audit_sink_up", sink) == 1.0

    def slowest_health(self, seconds: float = 1.0) -> float:
        """Of many requests to ``/healthz``, in seconds."""
        slowest = 0.0
        with httpx.Client(base_url=self.process.admin_url, timeout=SECONDS) as client:
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                began = time.monotonic()
                assert client.get("/healthz").status_code == 200
                slowest = max(slowest, time.monotonic() - began)
        return slowest

    def events(self) -> list[tuple[str, str]]:
        """(event, backend) of what was told of sinks."""
        lines = (self.process.data_dir / "bus" / "kms.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        return [
            (one["event"], one["fields"]["backend"]) for one in events if one["event"].startswith("Backend")
        ]

    def log(self) -> list[bytes]:
        """The lines of the audit log."""
        segments = sorted((self.process.data_dir / "audit").glob("audit-*.jsonl"))
        return [line for segment in segments for line in segment.read_bytes().splitlines()]


def number_of(line: bytes) -> int:
    """Of a record as JSON."""
    number: int = json.loads(line)["seq"]
    return number


def message_number(message: bytes) -> int:
    """Of a syslog message."""
    found = _RECORD.search(message)
    assert found is not None, message
    return int(found[1])


def assert_at_least_once(numbers: list[int], log: list[bytes], *, duplicates: int) -> None:
    """Every record of the log arrived, in order but for repetitions from some record on."""
    assert sorted(set(numbers)) == [number_of(line) for line in log]
    assert len(numbers) - len(set(numbers)) <= duplicates
    highest = -1
    for number in numbers:
        assert number <= highest + 1, "none was passed over"
        highest = max(highest, number)


KILL, STOP, GO_ON = signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT
