"""Many connections that push at once, and what the server shows of them."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections import Counter

from tests.integration.raw_http import RawConnection
from tests.server_process import ServerProcess

SIGN, KEYS = "/v1/kms/sign", "/v1/kms/keys"
WAITING = 'kms_inflight{op="waiting"}'


def gauges(server: ServerProcess) -> dict[str, float]:
    """All samples of a scrape, by name and labels."""
    with urllib.request.urlopen(f"{server.admin_url}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}


def token_with_key(server: ServerProcess, tenant: str) -> str:
    """A token of ``tenant``, which has a signing key ``k`` then."""
    token = server.mint(op=["sign", "create"], tenant=tenant)
    key = json.dumps({"key_id": "k", "alg": "ML-DSA-65", "usage": "sign"}).encode()
    with RawConnection(server.api_url) as connection:
        assert connection.request("POST", KEYS, token, key).status == 201
    return token


def message(items: int = 0) -> bytes:
    """The body of a request that signs one message with ``k``, or ``items`` of them as a batch."""
    one = {"key_id": "k", "message": "aGVsbG8="}
    return json.dumps({"items": [one] * items} if items else one).encode()


class Flood:
    """Many connections of one tenant, each with the next request as soon as the last is answered."""

    def __init__(self, server: ServerProcess, token: str, body: bytes, connections: int) -> None:
        self.statuses: Counter[int] = Counter()
        self.without_retry_after = 0
        """Refusals that did not say when to come back."""
        self._server, self._token, self._body = server, token, body
        self._counting = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(connections)]

    @property
    def refused(self) -> int:
        """Answers that told it to come back later."""
        return self.statuses[429] + self.statuses[503]

    def _run(self) -> None:
        while not self._stop.is_set():
            with RawConnection(self._server.api_url, timeout=60) as connection:
                keep = True
                while keep and not self._stop.is_set():
                    reply = connection.request("POST", SIGN, self._token, self._body)
                    with self._counting:
                        self.statuses[reply.status] += 1
                        if reply.status in (429, 503) and "retry-after" not in reply.headers:
                            self.without_retry_after += 1
                    keep = reply.headers.get("connection") != "close"

    def __enter__(self) -> Flood:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def settled(server: ServerProcess) -> None:
    """Nothing is left in flight, waiting or parked."""
    deadline = time.monotonic() + 60
    names = (WAITING, "kms_connections_parked", 'kms_inflight{op="sign"}')
    while any((seen := gauges(server))[name] for name in names):
        assert time.monotonic() < deadline, {name: seen[name] for name in names}
        time.sleep(0.05)
