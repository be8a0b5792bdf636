"""One server and one client for all end-to-end tests that do not harm their server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.support.api_client import ApiClient
from tests.server_process import ServerProcess


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A dev server on free loopback ports, with its own data directory."""
    with ServerProcess(tmp_path_factory.mktemp("e2e") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def api(server: ServerProcess) -> Iterator[ApiClient]:
    """Speaks to ``server`` with the dev token."""
    client = ApiClient(server.api_url, server.token)
    yield client
    client.close()
