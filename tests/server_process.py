"""A real ``ron-kms`` on free loopback ports, for tests and benches.

    with ServerProcess(tmp_path) as server:
        httpx.get(f"{server.api_url}/v1/kms/keys", headers={"Authorization": f"Bearer {server.token}"})

The server runs in the environment of the tests, in its own session, with ``--dev`` unless ``args`` says
otherwise. ``KMS_*`` variables of the caller are not handed on.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

READY = re.compile(r'^(service=ron-kms ready=1|\{"service":"ron-kms","ready":1\})$')
ROOT = Path(__file__).resolve().parent.parent


class NotReadyError(AssertionError):
    """The server ended, or did not become ready in time; the message has its output."""


class ServerProcess:
    """One server on ``data_dir``. ``env`` adds variables; ``args`` replaces ``("--dev",)``."""

    def __init__(
        self,
        data_dir: Path,
        env: Mapping[str, str] | None = None,
        args: Sequence[str] = ("--dev",),
        *,
        scheme: str = "http",
    ) -> None:
        self.data_dir = data_dir
        api, admin = free_port(), free_port()
        self.api_url = f"{scheme}://127.0.0.1:{api}"
        self.admin_url = f"http://127.0.0.1:{admin}"
        self.args = tuple(args)
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(("KMS_", "RON_"))}
        self.env |= {
            "KMS_API_ADDR": f"127.0.0.1:{api}",
            "KMS_METRICS_ADDR": f"127.0.0.1:{admin}",
            "KMS_DATA_DIR": str(data_dir),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), self.env.get("PYTHONPATH", "")))),
        }
        if "site-packages" in (_installed_at() or ""):
            # The installed wheel is what is tested.
            self.env.pop("PYTHONPATH")
        self.env |= env or {}
        self.process: subprocess.Popen[str] | None = None
        self.ready_seconds = 0.0
        self.stderr: list[str] = []
        self.stdout: list[str] = []
        self._readers: list[threading.Thread] = []
        self._ready = threading.Event()

    def start(self, timeout: float = 20.0) -> Self:
        """Starts, and waits for the ready line. Raises NotReadyError."""
        self.launch()
        deadline = time.monotonic() + timeout
        while not self._ready.wait(0.005):
            if self.pid_gone() or time.monotonic() > deadline:
                self.kill()
                raise NotReadyError(f"not ready:\n{self.output()}")
        return self

    def launch(self) -> Self:
        """Starts without waiting."""
        self._ready.clear()
        self.stderr.clear()
        self.stdout.clear()
        began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from ronkms.cli.ron_kms import main; main()", *self.args],
            cwd=self.data_dir.parent,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines, began), daemon=True)
            for stream, lines in ((self.process.stdout, self.stdout), (self.process.stderr, self.stderr))
        ]
        for reader in self._readers:
            reader.start()
        return self

    def _read(self, stream: object, lines: list[str], began: float) -> None:
        for line in stream:  # type: ignore[attr-defined]
            lines.append(line.rstrip("\n"))
            if lines is self.stderr and READY.match(lines[-1]):
                self.ready_seconds = time.monotonic() - began
                self._ready.set()

    @property
    def pid(self) -> int:
        """Process id of the arbiter."""
        assert self.process is not None
        return self.process.pid

    @property
    def token(self) -> str:
        """The admin capability that ``--dev`` mints."""
        return (self.data_dir / "capability" / "admin.token").read_text().strip()

    def ronctl(
        self, *args: str, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs ``ronctl`` on the data directory. Raises AssertionError if it fails and ``check`` is true."""
        script = Path(sys.executable).with_name("ronctl")
        command = [str(script)] if script.exists() else [sys.executable, "-m", "ronkms.cli.ronctl"]
        done = subprocess.run(
            [*command, "--data-dir", str(self.data_dir), *args],
            env=self.env,
            text=True,
            input=stdin,
            capture_output=True,
            timeout=60,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"ronctl {' '.join(args[:2])}: {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def mint(self, *, op: Sequence[str], key: str = "*", tenant: str = "default", ttl: str = "1h") -> str:
        """A capability for ``op`` on keys like ``key``, from ``ronctl cap mint``."""
        ops = [argument for name in op for argument in ("--op", name)]
        return self.ronctl("cap", "mint", "--tenant", tenant, *ops, "--key", key, "--ttl", ttl).stdout.strip()

    def children(self) -> list[int]:
        """Process ids of the admin process and the workers."""
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]

    def output(self) -> str:
        """What it wrote so far."""
        return "\n".join([*self.stdout, *self.stderr])

    def pid_gone(self) -> bool:
        """True once the arbiter has ended."""
        return self.process is None or self.process.poll() is not None

    def signal(self, number: int) -> None:
        """Sends a signal to the arbiter."""
        os.kill(self.pid, number)

    def wait(self, timeout: float = 40.0) -> int:
        """Waits for the end; the exit status."""
        assert self.process is not None
        status = self.process.wait(timeout)
        for reader in self._readers:
            reader.join(5.0)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return status

    def stop(self, timeout: float = 40.0) -> int:
        """SIGTERM; the exit status after the drain."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """SIGKILL for all its processes, as a power cut would."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.pid_gone():
            self.kill()
            return
        status = self.stop()
        assert kind is not None or status == 0, f"exit status {status}:\n{self.output()}"


def free_port() -> int:
    """A port that was free a moment ago, below those that the kernel gives to clients."""
    while True:
        port = 12000 + secrets.randbelow(20000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _installed_at() -> str | None:
    import ronkms

    return ronkms.__file__
