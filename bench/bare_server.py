"""The bare Falcon application of ``bench.bare`` under gunicorn, with the settings of the server beside it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.http_sample import Target
from tests.server_process import free_port

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
THREADS = 2
KEEPALIVE = 4


@contextmanager
def bare_falcon() -> Iterator[Target]:
    """Runs it on a free loopback port. Raises RuntimeError if it does not start within 10 s."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread"]
    command += ["--workers", str(WORKERS), "--threads", str(THREADS), "--keep-alive", str(KEEPALIVE)]
    command += ["--log-level", "error", "bench.bare:app"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_it_answers(url)
            yield Target(url, process.pid)
        finally:
            process.terminate()


def _wait_until_it_answers(url: str) -> None:
    for _ in range(100):
        try:
            httpx.post(f"{url}/v1/kms/sign", content=b"{}").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("bare Falcon did not start")
