"""``GET /healthz``, ``/readyz`` and ``/metrics``: a WSGI application without any of the API's parts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

from prometheus_client.registry import Collector

from ronkms.observe.exposition import OPENMETRICS_TYPE, PLAIN_TYPE, render_metrics

_JSON: Final = "application/json"
_PATHS: Final = ("/healthz", "/readyz", "/metrics")

StartResponse = Callable[[str, list[tuple[str, str]]], object]


class AdminHttp:
    """``missing`` gives the latest list of what keeps the server from being ready; it must not block."""

    def __init__(self, *, missing: Callable[[], list[str]], collector: Collector) -> None:
        self._missing = missing
        self._collector = collector

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """PEP 3333."""
        path = environ["PATH_INFO"]
        if path not in _PATHS:
            return _answer(start_response, "404 Not Found", _JSON, b'{"code":"not_found"}\n')
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _answer(
                start_response,
                "405 Method Not Allowed",
                _JSON,
                b'{"code":"method_not_allowed"}\n',
                allow="GET, HEAD",
            )
        if path == "/healthz":
            return _answer(start_response, "200 OK", _JSON, b'{"status":"alive"}\n')
        if path == "/readyz":
            missing = self._missing()
            body = json.dumps({"ready": not missing, "missing": missing}, separators=(",", ":")) + "\n"
            status = "503 Service Unavailable" if missing else "200 OK"
            return _answer(start_response, status, _JSON, body.encode())
        openmetrics = "application/openmetrics-text" in environ.get("HTTP_ACCEPT", "")
        return _answer(
            start_response,
            "200 OK",
            OPENMETRICS_TYPE if openmetrics else PLAIN_TYPE,
            render_metrics(self._collector.collect(), openmetrics=openmetrics),
        )


def _answer(
    start_response: StartResponse, status: str, content_type: str, body: bytes, *, allow: str = ""
) -> list[bytes]:
    headers = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if allow:
        headers.append(("Allow", allow))
    start_response(status, headers)
    return [body]
