"""The load generator: wrk on loopback, one thread, requests from a file, one after the other."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Every request is made up before the run, so that the generator costs the same whatever it sends, and is sent
# once before the list starts again, so that a list longer than a run never repeats.
_SCRIPT = """
local requests = {}
local i = 0
init = function()
  for line in io.lines(%(file)s) do
    local path, token, body = line:match("^(%%S+)\\t(%%S+)\\t(.*)$")
    local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. token }
    requests[#requests + 1] = wrk.format("POST", path, headers, body)
  end
end
request = function()
  i = i %% #requests + 1
  return requests[i]
end
done = function(summary, latency, sent)
  local e = summary.errors
  io.write(string.format("requests=%%d us=%%d p50_us=%%d p95_us=%%d refused=%%d errors=%%d\\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(95), e.status,
    e.connect + e.read + e.write + e.timeout))
end
"""


@dataclass(frozen=True)
class Request:
    """A POST; no part may hold a newline or a tab."""

    path: str
    token: str
    body: bytes


@dataclass(frozen=True)
class Sample:
    """One run: answers, answers per second, latencies in microseconds, answers that were not 2xx or 3xx."""

    answers: int
    rate: float
    p50_us: int
    p95_us: int
    non_2xx: int


def run(url: str, requests: Sequence[Request], *, seconds: int, connections: int) -> Sample:
    """Sends ``requests`` in turn for whole ``seconds`` over keep-alive connections. Raises RuntimeError."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "requests")
        with file.open("wb") as lines:
            for request in requests:
                lines.write(f"{request.path}\t{request.token}\t".encode() + request.body + b"\n")
        script = Path(scratch, "load.lua")
        script.write_text(_SCRIPT % {"file": f'"{file}"'})
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(
        r"requests=(\d+) us=(\d+) p50_us=(\d+) p95_us=(\d+) refused=(\d+) errors=(\d+)", done.stdout
    )
    if done.returncode or found is None:
        raise RuntimeError(f"wrk failed on {url}: {done.stdout}{done.stderr}")
    answers, microseconds, p50, p95, refused, errors = (int(number) for number in found.groups())
    if errors:
        raise RuntimeError(f"wrk met {errors} socket errors on {url}")
    return Sample(answers, answers / microseconds * 1e6, p50, p95, refused)
