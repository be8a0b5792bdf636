"""What a change forbids, no worker does for a request that starts after the change was answered."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import pytest

from tests.e2e.support import raw_http
from tests.server_process import ServerProcess

SHORT_ROUNDS = 100
LONG_ROUNDS = 1000
KEYS = 3
CLIENTS = 6
FRESH_CONNECTIONS = 50
MESSAGE = base64.b64encode(b"coherent").decode()


@dataclass
class Answered:
    """One request of the load: when it began and was answered (monotonic seconds), and how."""

    key: int
    op: str
    version: int
    began: float
    ended: float
    status: int
    valid: bool


@dataclass
class Window:
    """From the answer of a disable to the sending of the next enable: a request that lies inside with its
    beginning and its end must be refused. ``version`` is 0 for the whole key.
    """

    key: int
    version: int
    opened: float
    closed: float = float("inf")

    def holds(self, answer: Answered) -> bool:
        """True if the request is one on this key that began and was answered inside."""
        return answer.key == self.key and self.opened <= answer.began and answer.ended <= self.closed


@dataclass
class History:
    """Of one run. Lists are appended to by their one writer each, or under the GIL."""

    answers: list[Answered] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    data = tmp_path_factory.mktemp("coherence") / "data"
    with ServerProcess(data, env={"KMS_WORKERS": "4", "KMS_THREADS": "4"}) as running:
        yield running


def _client(server: ServerProcess) -> httpx.Client:
    headers = {"Authorization": f"Bearer {server.token}"}
    # Plain HTTP: loading the certificate store would take longer than the requests.
    return httpx.Client(base_url=server.api_url, headers=headers, timeout=20, verify=False)


class Load:
    """Signs, and verifies the signatures of version 1, from ``CLIENTS`` threads on changing connections."""

    def __init__(self, server: ServerProcess, prefix: str, signatures: list[str], history: History) -> None:
        self._server = server
        self._prefix = prefix
        self._signatures = signatures
        self._history = history
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, number: int) -> None:
        answers: list[Answered] = []
        try:
            while not self._stopping.is_set():
                # A connection stays with its worker: fresh ones reach all of them.
                with _client(self._server) as client:
                    for _ in range(20):
                        number += 1
                        answers.append(self._ask(client, number % KEYS, number % 3 == 0))
        except httpx.HTTPError as error:
            self._history.failures.append(repr(error))
        self._history.answers += answers

    def _ask(self, client: httpx.Client, key: int, sign: bool) -> Answered:
        body: dict[str, object] = {"key_id": f"{self._prefix}-{key}", "message": MESSAGE}
        if not sign:
            body |= {"key_version": 1, "signature": self._signatures[key]}
        began = time.monotonic()
        answer = client.post("/v1/kms/sign" if sign else "/v1/kms/verify", json=body)
        ended = time.monotonic()
        parsed = answer.json()
        if answer.status_code not in (200, 409):
            self._history.failures.append(f"{answer.status_code} {answer.text[:200]}")
        version = parsed.get("key_version") or 0
        valid = answer.status_code == 200 and parsed.get("valid", True)
        return Answered(key, "sign" if sign else "verify", version, began, ended, answer.status_code, valid)


def _change(client: httpx.Client, path: str, body: Mapping[str, object] | None = None) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, (path, answer.status_code, answer.text)


def _rounds(server: ServerProcess, prefix: str, rounds: int) -> History:
    """Disables, rotates and enables, each round on one key: the whole key, or its version 1 alone."""
    history = History()
    with _client(server) as client:
        signatures = []
        for key in range(KEYS):
            body = {"alg": "Ed25519", "usage": "sign", "key_id": f"{prefix}-{key}"}
            assert client.post("/v1/kms/keys", json=body).status_code == 201
            signed = client.post("/v1/kms/sign", json={"key_id": f"{prefix}-{key}", "message": MESSAGE})
            signatures.append(signed.json()["signature"])
        with Load(server, prefix, signatures, history):
            for number in range(rounds):
                key = number % KEYS
                path = f"/v1/kms/keys/{prefix}-{key}"
                version = number // KEYS % 2
                target = {"key_version": 1} if version else {}
                _change(client, f"{path}/disable", target)
                window = Window(key, version, time.monotonic())
                time.sleep(0.02 + int.from_bytes(os.urandom(1), "big") / 6000)
                window.closed = time.monotonic()
                history.windows.append(window)
                _change(client, f"{path}/enable", target)
                if number % 4 == 3:
                    _change(client, "/v1/kms/keys/rotate", {"key_id": f"{prefix}-{key}"})
    return history


def _accepted_inside(history: History) -> list[tuple[Window, Answered]]:
    """Requests that began inside a window and were served by what was disabled."""
    return [
        (window, answer)
        for window in history.windows
        for answer in history.answers
        if window.holds(answer)
        and answer.status == 200
        and (window.version == 0 or answer.version == window.version)
    ]


def _check(history: History, rounds: int) -> None:
    inside = sum(window.holds(answer) for window in history.windows for answer in history.answers)
    print(f"{len(history.answers)} requests, {inside} of them while their key or its version was disabled")
    assert history.failures == []
    assert len(history.windows) == rounds
    assert inside >= rounds, "the load must meet the windows"
    assert _accepted_inside(history) == []
    served = [answer for answer in history.answers if answer.status == 200]
    assert all(answer.valid for answer in served)
    assert {answer.op for answer in served} == {"sign", "verify"}


@pytest.mark.timeout(120)
def test_nothing_is_accepted_after_a_disable(server: ServerProcess) -> None:
    _check(_rounds(server, "short", SHORT_ROUNDS), SHORT_ROUNDS)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_nothing_is_accepted_after_1000_disables(server: ServerProcess) -> None:
    _check(_rounds(server, "long", LONG_ROUNDS), LONG_ROUNDS)


def test_the_check_finds_a_late_acceptance() -> None:
    history = History()
    history.windows.append(Window(0, 0, 10.0, 11.0))
    history.answers.append(Answered(0, "sign", 1, 9.9, 10.6, 200, valid=True))
    history.answers.append(Answered(0, "sign", 1, 10.8, 11.1, 200, valid=True))
    history.answers.append(Answered(1, "sign", 1, 10.5, 10.6, 200, valid=True))
    history.answers.append(Answered(0, "sign", 0, 10.5, 10.6, 409, valid=False))
    assert _accepted_inside(history) == []
    history.answers.append(Answered(0, "verify", 1, 10.5, 10.6, 200, valid=False))
    assert len(_accepted_inside(history)) == 1


def test_a_rotation_is_seen_by_all_workers_at_once(server: ServerProcess) -> None:
    with _client(server) as client:
        created = client.post("/v1/kms/keys", json={"alg": "Ed25519", "usage": "sign", "key_id": "turning"})
        assert created.status_code == 201
        for version in range(2, 12):
            _change(client, "/v1/kms/keys/rotate", {"key_id": "turning"})
            for _ in range(8):
                with _client(server) as fresh:
                    signed = fresh.post("/v1/kms/sign", json={"key_id": "turning", "message": MESSAGE})
                assert signed.json()["key_version"] == version


@pytest.mark.parametrize("attenuated", [False, True], ids=["itself", "one attenuated from it"])
def test_a_revoked_token_is_refused_by_all_workers_at_once(server: ServerProcess, attenuated: bool) -> None:
    revoked = server.mint(op=["sign", "verify"])
    token = (
        server.ronctl("cap", "attenuate", "--op", "sign", revoked).stdout.strip() if attenuated else revoked
    )
    with _client(server) as client:
        body = {"alg": "Ed25519", "usage": "sign", "key_id": f"revoking-{attenuated}".lower()}
        assert client.post("/v1/kms/keys", json=body).status_code == 201
    body = {"key_id": f"revoking-{attenuated}".lower(), "message": MESSAGE}
    headers = [("Authorization", f"Bearer {token}"), ("Content-Type", "application/json")]
    raw = raw_http.request("POST", "/v1/kms/sign", headers, json.dumps(body).encode())

    def statuses() -> set[int]:
        """Of fresh connections, many at a time, so that every worker takes some."""
        with ThreadPoolExecutor(12) as pool:
            answers = pool.map(
                raw_http.exchange, [server.api_url] * FRESH_CONNECTIONS, [raw] * FRESH_CONNECTIONS
            )
            return {answer.status for answer in answers}

    assert statuses() == {200}
    server.ronctl("cap", "revoke", revoked)
    assert statuses() == {401}
