"""A thin client of the HTTP API for tests: what goes in is sent, what comes back is returned."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

BATCH_ITEMS = 1000
BATCH_BYTES = 12 * 1024 * 1024
"""Of encoded items per request; the service takes 16 MiB."""


@dataclass(frozen=True)
class Answer:
    """One exchange, whole enough to be checked against the OpenAPI document."""

    method: str
    path: str
    status: int
    content_type: str
    body: Any
    headers: httpx.Headers


class ApiClient:
    """Holds the base URL and a capability; keeps every exchange in ``log`` while ``recording``."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        self._lock = threading.Lock()
        self.recording = False
        self.log: list[Answer] = []

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def request(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """One request; ``body`` as JSON unless None. Header names are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = self._http.request(method, path, json=body, headers=named)
        content_type = response.headers.get("content-type", "").partition(";")[0]
        parsed = response.json() if content_type.endswith("json") else response.text
        answer = Answer(method, path, response.status_code, content_type, parsed, response.headers)
        if self.recording:
            with self._lock:
                self.log.append(answer)
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        """GET."""
        return self.request("GET", path, **headers)

    def post(self, path: str, body: object = None, **headers: str) -> Answer:
        """POST."""
        return self.request("POST", path, {} if body is None else body, **headers)

    def ok(self, path: str, body: object = None) -> Any:
        """The body of a POST that must answer 200 or 201."""
        answer = self.post(path, body)
        assert answer.status in (200, 201), (path, answer.status, answer.body)
        return answer.body

    def batch(self, path: str, items: Sequence[dict[str, object]]) -> list[dict[str, Any]]:
        """The results of ``items`` in order, over as many batches as the limits ask for."""
        results: list[dict[str, Any]] = []
        chunk: list[dict[str, object]] = []
        size = 0
        for item in items:
            item_size = len(str(item))
            if chunk and (len(chunk) == BATCH_ITEMS or size + item_size > BATCH_BYTES):
                results += self.ok(path, {"items": chunk})["items"]
                chunk, size = [], 0
            chunk.append(item)
            size += item_size
        if chunk:
            results += self.ok(path, {"items": chunk})["items"]
        assert len(results) == len(items)
        return results
