"""How a worker treats connections: bounded waits, shedding, lingering, malformed HTTP."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.support.process_tree import ESTABLISHED, LISTEN, sockets_at
from tests.eventually import eventually
from tests.integration.raw_http import RawConnection
from tests.server_process import ServerProcess

PATH = "/v1/kms/keys"
KEY = json.dumps({"key_id": "k", "alg": "Ed25519", "usage": "sign"}).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    env = {
        "KMS_WORKERS": "1",
        "KMS_THREADS": "2",
        "KMS_KEEPALIVE_MS": "700",
        "KMS_REQUEST_TIMEOUT_MS": "1500",
        "KMS_QUEUE_DEADLINE_MS": "200",
    }
    with ServerProcess(tmp_path_factory.mktemp("connections") / "data", env) as running:
        yield running


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Two threads, and as long a wait for a client as there can be."""
    env = {
        "KMS_WORKERS": "1",
        "KMS_THREADS": "2",
        "KMS_KEEPALIVE_MS": "4900",
        "KMS_REQUEST_TIMEOUT_MS": "600000",
        "KMS_QUEUE_DEADLINE_MS": "60000",
    }
    with ServerProcess(tmp_path_factory.mktemp("patient") / "data", env) as running:
        yield running


def _metrics(server: ServerProcess) -> dict[str, float]:
    with urllib.request.urlopen(f"{server.admin_url}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}


def _port(server: ServerProcess) -> int:
    return urlsplit(server.api_url).port or 0


def test_a_connection_serves_many_requests(patient: ServerProcess) -> None:
    with RawConnection(patient.api_url) as connection:
        for _ in range(20):
            reply = connection.request("GET", PATH, patient.token)
            assert (reply.status, reply.headers["connection"]) == (200, "keep-alive")


def test_pipelined_requests_are_answered_in_order(patient: ServerProcess) -> None:
    with RawConnection(patient.api_url) as connection:
        for _ in range(3):
            connection.send_head("GET", PATH, patient.token)
        assert [connection.reply().status for _ in range(3)] == [200, 200, 200]


def test_an_idle_connection_is_closed_after_keepalive(server: ServerProcess) -> None:
    with RawConnection(server.api_url) as used, RawConnection(server.api_url) as fresh:
        began = time.monotonic()
        used.request("GET", PATH, server.token)
        assert used.closed_by_server()
        assert time.monotonic() - began > 0.6
        assert fresh.closed_by_server()


def test_silent_connections_take_no_thread(patient: ServerProcess) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(RawConnection(patient.api_url)) for _ in range(30)]
        connection = stack.enter_context(RawConnection(patient.api_url))
        assert connection.request("GET", PATH, patient.token).status == 200
        assert all(one.is_open() for one in silent)


def _answered_beside(server: ServerProcess, begun: list[RawConnection]) -> bool:
    """A request is answered while all that ``begun`` have sent is still waited for."""
    with RawConnection(server.api_url, timeout=60) as connection:
        assert connection.request("GET", PATH, server.token).status == 200
    return all(one.is_open() for one in begun)


def test_a_head_that_comes_slowly_takes_no_thread(patient: ServerProcess) -> None:
    def attempt() -> bool:
        with ExitStack() as stack:
            begun = [stack.enter_context(RawConnection(patient.api_url)) for _ in range(8)]
            for one in begun:
                one.send(b"GET /v1/kms/keys HTTP/1.1\r\nHost: kms\r\nX-Test: a")
            # The beginning of the second request comes in one piece with the first.
            whole = stack.enter_context(RawConnection(patient.api_url))
            assert whole.send(b"GET / HTTP/1.1\r\nHost: kms\r\n\r\nGET / H").reply().status == 404
            if not _answered_beside(patient, [*begun, whole]):
                return False
            replies = [one.send(b"b\r\n\r\n").reply().status for one in begun]
            replies.append(whole.send(b"TTP/1.1\r\nHost: kms\r\n\r\n").reply().status)
            return replies == [401] * len(begun) + [404]

    # Each head has 10 s. With a thread for each the request would wait until some are cut.
    eventually(attempt, "slow heads held the threads")


def test_a_refused_request_whose_body_does_not_come_takes_no_thread(patient: ServerProcess) -> None:
    began = time.monotonic()
    with ExitStack() as stack:
        for _ in range(60):
            bodiless = stack.enter_context(RawConnection(patient.api_url, timeout=60))
            bodiless.send_head("POST", PATH, "nonsense", len(KEY))
            assert bodiless.reply().status == 401
        connection = stack.enter_context(RawConnection(patient.api_url, timeout=60))
        assert connection.request("GET", PATH, patient.token).status == 200
    # By the two threads, one after another, it would be 5 s for each two of them.
    assert time.monotonic() - began < 60


def test_a_client_that_does_not_close_holds_nobody_up(patient: ServerProcess) -> None:
    began = time.monotonic()
    with ExitStack() as stack:
        for _ in range(60):
            lingering = stack.enter_context(RawConnection(patient.api_url))
            assert lingering.send(b"nonsense\r\n\r\n").reply().headers["connection"] == "close"
        connection = stack.enter_context(RawConnection(patient.api_url))
        assert connection.request("GET", PATH, patient.token).status == 200
    # By the two threads, one after another, it would be 2 s for each two of them.
    assert time.monotonic() - began < 30


def test_a_slow_sender_is_cut(server: ServerProcess) -> None:
    with RawConnection(server.api_url) as header, RawConnection(server.api_url) as body:
        began = time.monotonic()
        header.send(b"POST /v1/kms/sign HTTP/1.1\r\nHost: k")
        body.send_head("POST", PATH, server.token, len(KEY)).send(KEY[:5])
        assert header.closed_by_server()
        assert time.monotonic() - began > 1.0
        assert body.closed_by_server()
    with RawConnection(server.api_url) as connection:
        assert connection.request("GET", PATH, server.token).status == 200


def test_a_request_past_its_deadline_is_shed_without_work(server: ServerProcess) -> None:
    before = _metrics(server)
    with ExitStack() as stack:
        for _ in range(2):
            holder = stack.enter_context(RawConnection(server.api_url))
            holder.send_head("POST", PATH, server.token, len(KEY))
        time.sleep(0.1)
        late = stack.enter_context(RawConnection(server.api_url))
        late.send_head("GET", PATH, server.token)
        reply = late.reply()
    assert reply.status == 503
    assert reply.headers["retry-after"] == "1"
    assert reply.headers["connection"] == "close"
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["code"] == "saturated"
    assert reply.headers["x-correlation-id"] == reply.json()["corr_id"]
    after = _metrics(server)
    for name in (
        'rejected_total{reason="backpressure"}',
        'http_requests_total{code="503",service="ron-kms"}',
    ):
        assert after[name] == before[name] + 1


def test_health_and_metrics_answer_while_all_threads_are_held(patient: ServerProcess) -> None:
    malformed = 'rejected_total{reason="malformed"}'
    before = _metrics(patient)[malformed]
    with ExitStack() as stack:
        holders = [stack.enter_context(RawConnection(patient.api_url)) for _ in range(12)]
        for holder in holders:
            holder.send_head("POST", PATH, patient.token, len(KEY))
        for path in ("healthz", "readyz", "metrics") * 3:
            with urllib.request.urlopen(f"{patient.admin_url}/{path}", timeout=60) as answer:
                assert answer.read()
        assert all(holder.is_open() for holder in holders)
    # Each was cut short, and is counted before another test counts.
    eventually(lambda: _metrics(patient)[malformed] == before + len(holders))


MALFORMED = [
    (b"nonsense\r\n\r\n", 400),
    (b"GET / HTTP/9.9\r\n\r\n", 505),
    (b"GET / HTTP/1.1\r\nHost: k\r\nBad Header: 1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: k\r\n folded\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: k\r\nContent-Length: -1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: k\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
    (b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: k\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\nHost: k\r\nX: " + b"a" * 10000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: 1\r\n" % number for number in range(100)) + b"\r\n", 431),
    (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", 400),
]


@pytest.mark.parametrize(("request_bytes", "status"), MALFORMED)
def test_malformed_http(patient: ServerProcess, request_bytes: bytes, status: int) -> None:
    before = _metrics(patient)['rejected_total{reason="malformed"}']
    with RawConnection(patient.api_url) as connection:
        reply = connection.send(request_bytes).reply()
        assert reply.status == status
        assert reply.headers["server"] == "ron-kms"
        assert reply.headers["content-type"] == "application/problem+json"
        problem = reply.json()
        assert (problem["status"], problem["code"]) == (status, "bad_request")
        assert "aaaa" not in reply.body.decode()
    assert _metrics(patient)['rejected_total{reason="malformed"}'] == before + 1


def test_admin_http_refuses_what_it_does_not_serve(patient: ServerProcess, tmp_path: Path) -> None:
    for method, path, status in (("GET", "/", 404), ("POST", "/healthz", 405), ("GET", "/docs", 404)):
        with RawConnection(patient.admin_url) as connection:
            reply = connection.send(f"{method} {path} HTTP/1.1\r\nHost: k\r\n\r\n".encode()).reply()
        assert reply.status == status


def test_openmetrics_by_accept(patient: ServerProcess) -> None:
    request = urllib.request.Request(
        f"{patient.admin_url}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        assert answer.read().endswith(b"# EOF\n")


def test_the_deadline_counts_the_wait_in_the_kernel(tmp_path: Path) -> None:
    env = {"KMS_WORKERS": "1", "KMS_QUEUE_DEADLINE_MS": "2000"}
    with ServerProcess(tmp_path / "data", env) as server:
        [worker] = [pid for pid in server.children() if sockets_at(pid, _port(server), state=LISTEN)]
        os.kill(worker, signal.SIGSTOP)
        try:
            with RawConnection(server.api_url) as late, RawConnection(server.api_url) as silent:
                late.send_head("GET", PATH, server.token)
                time.sleep(2.5)
                os.kill(worker, signal.SIGCONT)
                reply = late.reply()
                assert (reply.status, reply.json()["code"]) == (503, "saturated")
                assert silent.request("GET", PATH, server.token).status == 200
        finally:
            os.kill(worker, signal.SIGCONT)


def test_connections_are_spread_over_the_workers(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", {"KMS_WORKERS": "2"}) as server, ExitStack() as stack:
        port = _port(server)
        for _ in range(20):
            connection = stack.enter_context(RawConnection(server.api_url))
            assert connection.request("GET", PATH, server.token).status == 200
        held = [sockets_at(pid, port, state=ESTABLISHED) for pid in server.children()]
        assert sorted(held) in ([0, 9, 11], [0, 10, 10])


def test_a_stopped_worker_keeps_no_connection_waiting(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", {"KMS_WORKERS": "2"}) as server, ExitStack() as stack:
        port = _port(server)
        first = stack.enter_context(RawConnection(server.api_url))
        assert first.request("GET", PATH, server.token).status == 200
        workers = [pid for pid in server.children() if sockets_at(pid, port, state=LISTEN)]
        [stopped] = [pid for pid in workers if not sockets_at(pid, port, state=ESTABLISHED)]
        os.kill(stopped, signal.SIGSTOP)
        try:
            for _ in range(20):
                connection = stack.enter_context(RawConnection(server.api_url))
                assert connection.request("GET", PATH, server.token).status == 200
            assert not sockets_at(stopped, port, state=ESTABLISHED)
        finally:
            os.kill(stopped, signal.SIGCONT)
