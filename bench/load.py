"""The load generator: wrk on loopback, one thread, bodies from a file, one after the other."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Each body is sent once before the list starts again, so that a list longer than a run never repeats.
_SCRIPT = """
local bodies = {}
for line in io.lines(%(bodies)s) do bodies[#bodies + 1] = line end
local headers = { ["Content-Type"] = "application/json", ["Authorization"] = %(authorization)s }
local i = 0
request = function()
  i = i %% #bodies + 1
  return wrk.format("POST", nil, headers, bodies[i])
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("p50_us=%%d p95_us=%%d errors=%%d\\n", latency:percentile(50),
    latency:percentile(95), e.connect + e.read + e.write + e.timeout))
end
"""


@dataclass(frozen=True)
class Sample:
    """One run: requests per second, latencies in microseconds, answers that were not 2xx or 3xx."""

    rate: float
    p50_us: int
    p95_us: int
    non_2xx: int


def _lua(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def run(url: str, bodies: Sequence[bytes], *, authorization: str, seconds: int, connections: int) -> Sample:
    """Sends ``bodies`` in turn for ``seconds`` over keep-alive connections. Raises RuntimeError."""
    with tempfile.TemporaryDirectory() as scratch:
        body_file = Path(scratch, "bodies")
        body_file.write_bytes(b"\n".join(bodies) + b"\n")
        script = Path(scratch, "load.lua")
        script.write_text(
            _SCRIPT
            % {
                "bodies": _lua(str(body_file)),
                "authorization": _lua(authorization),
            }
        )
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    text = done.stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    stats = re.search(r"p50_us=(\d+) p95_us=(\d+) errors=(\d+)", text)
    if done.returncode or rate is None or stats is None:
        raise RuntimeError(f"wrk failed on {url}: {text}{done.stderr}")
    if int(stats[3]):
        raise RuntimeError(f"wrk met {stats[3]} socket errors on {url}")
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Sample(float(rate[1]), int(stats[1]), int(stats[2]), int(wrong[1]) if wrong else 0)
