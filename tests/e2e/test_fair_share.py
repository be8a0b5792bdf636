"""A tenant that floods waits in its own line; the others are served as if it were not there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.e2e.support.flood import SIGN, WAITING, Flood, gauges, message, settled, token_with_key
from tests.eventually import eventually
from tests.integration.raw_http import RawConnection
from tests.server_process import ServerProcess

FLOOD_CONNECTIONS = 64
SMALL_TENANTS = 8
SMALL_REQUESTS = 25
ITEMS = 100
BACKGROUND_NICE = 15


def thread_priorities(server: ServerProcess) -> set[int]:
    """Nice values of all threads of the server's processes."""
    found = set()
    for child in server.children():
        for stat in Path(f"/proc/{child}/task").glob("*/stat"):
            with suppress(FileNotFoundError, ProcessLookupError):
                found.add(int(stat.read_text().rpartition(")")[2].split()[16]))
    return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    env = {"KMS_WORKERS": "2", "KMS_QUEUE_DEADLINE_MS": "60000"}
    with ServerProcess(tmp_path / "data", env) as running:
        yield running


def test_a_flood_costs_the_others_nothing_but_their_turn(server: ServerProcess) -> None:
    flooding = token_with_key(server, "flood")
    others = [token_with_key(server, f"small-{number}") for number in range(SMALL_TENANTS)]
    one = message()
    batch = message(ITEMS)
    waited = 0.0
    with ExitStack() as stack:
        connections = [stack.enter_context(RawConnection(server.api_url, timeout=60)) for _ in others]
        for connection, token in zip(connections, others, strict=True):
            assert connection.request("POST", SIGN, token, one).status == 200
        flood = stack.enter_context(Flood(server, flooding, batch, FLOOD_CONNECTIONS))
        deadline = time.monotonic() + 60
        while (seen := gauges(server))[WAITING] < FLOOD_CONNECTIONS / 4:
            assert time.monotonic() < deadline, "the flood never came to wait"
            time.sleep(0.02)
        waited = seen[WAITING] + seen["kms_connections_parked"]
        before = sum(flood.statuses.values())
        for _ in range(SMALL_REQUESTS):
            for connection, token in zip(connections, others, strict=True):
                assert connection.request("POST", SIGN, token, one).status == 200
        during = sum(flood.statuses.values()) - before

        def steps_back() -> bool:
            assert connections[0].request("POST", SIGN, others[0], one).status == 200
            return BACKGROUND_NICE in thread_priorities(server)

        eventually(steps_back, "no batch of the flood runs at a low priority", pause=0)
    # One after another, each small request let at most the requests before it finish: a line for all would
    # have let as many through as waited.
    assert during < SMALL_REQUESTS * SMALL_TENANTS * waited / 2
    assert set(flood.statuses) <= {200, 429, 503}
    assert flood.statuses[200] > 0
    settled(server)


def test_a_connection_that_was_answered_429_is_not_read_before_its_retry_after(tmp_path: Path) -> None:
    # More threads than the cap has room for: with two, the flood would wait and never be refused.
    env = {"KMS_WORKERS": "1", "KMS_THREADS": "12", "KMS_MAX_INFLIGHT_SIGN": "8"}
    with ServerProcess(tmp_path / "data", env) as server:
        flooding, small = token_with_key(server, "flood"), token_with_key(server, "small")
        one = message()
        batch = message(ITEMS)
        with RawConnection(server.api_url) as connection, Flood(server, flooding, batch, 16) as flood:
            deadline = time.monotonic() + 60
            parked = False
            while not (parked and flood.statuses[429]):
                assert time.monotonic() < deadline, f"no 429 was parked: {flood.statuses}"
                assert connection.request("POST", SIGN, small, one).status in (200, 503)
                parked = parked or gauges(server)["kms_connections_parked"] > 0
            refused = flood.statuses[429]
            assert gauges(server)['rejected_total{reason="backpressure"}'] >= refused
        settled(server)


def test_one_tenant_alone_is_served_over_all_its_connections(server: ServerProcess) -> None:
    token = token_with_key(server, "alone")
    one = message()
    with Flood(server, token, one, FLOOD_CONNECTIONS) as flood:
        eventually(lambda: flood.statuses[200] >= 20 * FLOOD_CONNECTIONS)
    assert set(flood.statuses) == {200}
    settled(server)
