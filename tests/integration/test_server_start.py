"""The command itself: extensions that are missing, and what systemd hears."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ronkms
from ronkms.server.descriptors import OTHERS
from tests.integration.raw_http import RawConnection
from tests.server_process import NotReadyError, ServerProcess

COMMAND = [sys.executable, "-c", "from ronkms.cli.ron_kms import main; main()"]


@pytest.mark.parametrize(
    ("native", "message"),
    [
        (
            "raise ImportError('no such library')",
            "ronkms-native does not load (no such library); install both wheels",
        ),
        (
            "__version__ = '9.9.9'",
            f"ronkms-native 9.9.9 does not fit ronkms {ronkms.__version__}; install both wheels",
        ),
    ],
)
def test_missing_or_foreign_native_wheel(tmp_path: Path, native: str, message: str) -> None:
    package = tmp_path / "ronkms_native"
    package.mkdir()
    (package / "__init__.py").write_text(native)
    done = _run(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1


def test_missing_hot_path(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['ronkms._fastpath'] = None")
    done = _run(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ronkms._fastpath does not load")
    assert done.stderr.count("\n") == 1


def test_no_room_for_the_shared_memory(tmp_path: Path) -> None:
    done = _run(tmp_path, before="ulimit -f 16")
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot size the shared memory file: ")
    assert done.stderr.endswith("; allow more memory and larger files, or lower verify_cache_max\n")
    assert done.stderr.count("\n") == 1


def _run(first_on_path: Path, before: str = ":") -> subprocess.CompletedProcess[str]:
    """``before`` is run by the shell that becomes the command."""
    path = os.pathsep.join([str(first_on_path), *filter(None, sys.path)])
    environ = {
        "PYTHONPATH": path,
        "KMS_DATA_DIR": str(first_on_path / "data"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        ["sh", "-c", f'{before} && exec "$@"', "sh", *COMMAND, "--dev"],
        env=environ,
        cwd=first_on_path,  # not the checkout, whose package would come first
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_there_are_descriptors_for_all_connections(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        with ServerProcess(tmp_path / "data", {"KMS_CONNECTIONS": "1000"}) as server:
            for process in (server.pid, *server.children()):
                allowed, _ = resource.prlimit(process, resource.RLIMIT_NOFILE)
                assert allowed == min(1000 + OTHERS, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_version_and_usage() -> None:
    environ = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    shown = subprocess.run([*COMMAND, "--version"], env=environ, capture_output=True, text=True, check=True)
    assert shown.stdout == f"ron-kms {ronkms.__version__}\n"
    wrong = subprocess.run([*COMMAND, "--prod"], env=environ, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "--prod" in wrong.stderr


def test_systemd_hears_ready_watchdog_and_stopping(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        server = ServerProcess(tmp_path / "data", {"NOTIFY_SOCKET": str(tmp_path / "notify")}).start()
        heard = []
        began = time.monotonic()
        while time.monotonic() - began < 2.5:
            heard.append(manager.recv(256).decode())
        server.stop()
        manager.setblocking(False)
        try:
            while True:
                heard.append(manager.recv(256).decode())
        except BlockingIOError:
            pass
    first_ready = heard.index("READY=1\nSTATUS=serving")
    assert sum(message.startswith("READY") for message in heard) == 1
    assert heard.count("STOPPING=1\nSTATUS=draining") == 1
    assert heard.index("STOPPING=1\nSTATUS=draining") > first_ready
    assert "WATCHDOG=1" in heard[first_ready:]


def test_a_damaged_audit_log_stops_the_start(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server, RawConnection(server.api_url) as connection:
        for _ in range(3):
            connection.request("GET", "/v1/kms/keys", server.token)
    segment = next((tmp_path / "data" / "audit").glob("audit-*.jsonl"))
    lines = segment.read_bytes().split(b"\n")
    lines[0] = lines[0].replace(b'"seq":', b'"seq": ')
    segment.write_bytes(b"\n".join(lines))
    with pytest.raises(NotReadyError, match="error: audit: "):
        server.start()
    assert server.process is not None
    assert server.process.returncode == 1
