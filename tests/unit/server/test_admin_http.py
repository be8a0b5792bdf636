"""The admin process' HTTP, without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ronkms.server.admin_http import AdminHttp


class OneGauge(Collector):
    """A scrape with one number."""

    def collect(self) -> list[Metric]:
        """One family."""
        return [GaugeMetricFamily("kms_ready", "x", value=1)]


def _call(path: str, missing: list[str] | None = None, **environ: str) -> tuple[int, dict[str, str], bytes]:
    told: list[Any] = []
    app = AdminHttp(missing=lambda: missing or [], collector=OneGauge())
    body = b"".join(
        app(
            {"PATH_INFO": path, "REQUEST_METHOD": "GET", **environ},
            lambda status, headers: told.extend((status, headers)),
        )
    )
    status, headers = told
    return int(status.split()[0]), dict(headers), body


def test_healthz_knows_nothing_of_readiness() -> None:
    assert _call("/healthz", ["everything"])[0] == 200


def test_readyz() -> None:
    assert _call("/readyz")[0] == 200
    status, headers, body = _call("/readyz", ["bus: down"])
    assert (status, headers["Content-Type"]) == (503, "application/json")
    assert json.loads(body) == {"ready": False, "missing": ["bus: down"]}


def test_metrics_in_both_forms() -> None:
    _, headers, body = _call("/metrics")
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert body.endswith(b"\nkms_ready 1\n")
    _, headers, body = _call("/metrics", HTTP_ACCEPT="text/plain;q=0.5,application/openmetrics-text")
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"\n# EOF\n")


@pytest.mark.parametrize("path", ["/", "/healthz/", "/metrics/x", "/v1/kms/keys"])
def test_nothing_else_is_served(path: str) -> None:
    assert _call(path)[0] == 404


def test_nothing_is_changed_here() -> None:
    status, headers, _ = _call("/readyz", REQUEST_METHOD="POST")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_nothing_is_cached() -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/none"):
        assert _call(path)[1]["Cache-Control"] == "no-store"
