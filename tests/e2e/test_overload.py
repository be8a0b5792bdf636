"""More connections than the server can serve: some are answered, the rest refused, nothing is left behind."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path

from tests.e2e.support.flood import SIGN, Flood, gauges, message, settled, token_with_key
from tests.integration.raw_http import RawConnection
from tests.server_process import ServerProcess

CONNECTIONS = 160
"""Ten times what saturates two workers."""
ITEMS = 100
MEMORY_SLACK = 64 << 20


def test_an_overload_is_shed_and_the_server_is_as_before(tmp_path: Path) -> None:
    env = {"KMS_WORKERS": "2", "KMS_QUEUE_DEADLINE_MS": "100"}
    with ServerProcess(tmp_path / "data", env) as server:
        token = token_with_key(server, "pusher")
        with Flood(server, token, message(ITEMS), CONNECTIONS) as flood:
            deadline = time.monotonic() + 60
            while flood.refused < CONNECTIONS or flood.statuses[200] < CONNECTIONS:
                assert time.monotonic() < deadline, flood.statuses
                with urllib.request.urlopen(f"{server.admin_url}/healthz", timeout=5) as answer:
                    assert answer.status == 200
            half_way = gauges(server)["kms_rss_bytes"]
            refused, served = flood.refused, flood.statuses[200]
            while flood.refused < 2 * refused or flood.statuses[200] < 2 * served:
                assert time.monotonic() < deadline, flood.statuses
                time.sleep(0.05)
            end = gauges(server)
        # 429 as well, though the tenant is alone: its new connections are not known for its own yet.
        assert set(flood.statuses) <= {200, 429, 503}
        assert flood.statuses[503] > 0
        assert flood.without_retry_after == 0
        assert end["kms_rss_bytes"] < half_way + MEMORY_SLACK
        # A connection that its client ends while it waits is counted as well, once.
        counted = gauges(server)['rejected_total{reason="backpressure"}']
        assert flood.refused <= counted <= flood.refused + CONNECTIONS
        settled(server)
        with RawConnection(server.api_url) as connection:
            assert connection.request("POST", SIGN, token, message()).status == 200
