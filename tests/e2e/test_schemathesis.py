"""Generated requests, good and bad, against the OpenAPI document of a live server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.server_process import ServerProcess

SHORT_EXAMPLES = 8
LONG_EXAMPLES = 400
CONFIG = Path(__file__).with_name("schemathesis.toml")


def _run(server: ServerProcess, examples: int, directory: Path, seconds: int) -> str:
    """The report. The short form asks the same each time, the long form something new."""
    seed = ("--seed", "2026") if examples == SHORT_EXAMPLES else ()
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)),
        *("run", f"{server.api_url}/openapi.json"),
        *("--header", f"Authorization: Bearer {server.token}"),
        *("--max-examples", str(examples), "--generation-database", "none"),
        *seed,
        *("--request-timeout", "30", "--no-color", "--output-truncate", "true"),
    ]
    done = subprocess.run(
        command,
        cwd=directory,
        text=True,
        capture_output=True,
        timeout=seconds,
        env={**os.environ, "COLUMNS": "160"},
    )
    assert server.token not in done.stdout
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return done.stdout


def _check(server: ServerProcess, report: str, least: int) -> None:
    """Every operation was tested, and the server neither failed nor said what it should not."""
    document = httpx.get(f"{server.api_url}/openapi.json").raise_for_status().json()
    operations = sum(
        len(item.keys() & {"get", "post", "put", "delete"}) for item in document["paths"].values()
    )
    tested = re.search(r"Tested: (\d+)", report)
    generated = re.search(r"(\d+) generated", report)
    assert tested is not None
    assert generated is not None
    print(f"{generated[1]} requests to {tested[1]} operations")
    assert int(tested[1]) == operations
    assert int(generated[1]) >= least
    metrics = httpx.get(f"{server.admin_url}/metrics").raise_for_status().text
    failed = [line for line in metrics.splitlines() if line.startswith('http_requests_total{code="500"')]
    assert all(float(line.split()[-1]) == 0 for line in failed), failed
    assert "Traceback" not in server.output()


@pytest.mark.timeout(240)
def test_nothing_is_found(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        _check(server, _run(server, SHORT_EXAMPLES, tmp_path, 220), 300)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_nothing_is_found_in_long(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        _check(server, _run(server, LONG_EXAMPLES, tmp_path, 3500), 5000)
