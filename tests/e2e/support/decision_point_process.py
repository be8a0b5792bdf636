"""The decision point of the tests as a process of its own (``decision_server``), that can come and go."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.support.decision_server import PATH, behaviour_body
from tests.server_process import ROOT, free_port


class DecisionPointProcess:
    """``tls``: certificate, key, and the authority of clients, which may be empty."""

    def __init__(self, tls: tuple[Path, Path, Path] | None = None) -> None:
        self.port = free_port()
        self._tls = tls
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """As ``policy_url``."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}{PATH}"

    def start(self) -> Self:
        """Until it listens."""
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.e2e.support.decision_server",
                str(self.port),
                *map(str, self._tls or ()),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def stop(self) -> None:
        """At once, with its connections."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def behave(self, **changes: Any) -> None:
        """From its return on; see ``decision_server.Behaviour``. Forgets what was asked."""
        self._control("PUT", behaviour_body(**changes))

    def asked(self, **facts: Any) -> list[dict[str, Any]]:
        """The questions since the last ``behave`` that have these facts, in order; no probes."""
        questions: list[dict[str, Any]] = self.told()["asked"]
        return [
            question
            for question in questions
            if question["action"] != "probe" and all(question[name] == facts[name] for name in facts)
        ]

    def told(self) -> Any:
        """What it tells of itself."""
        return json.loads(self._control("GET"))

    def _control(self, method: str, body: bytes = b"") -> bytes:
        assert self._tls is None
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, "/control", body)
            answer = connection.getresponse()
            assert answer.status == 200
            return answer.read()
        finally:
            connection.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
