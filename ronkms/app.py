"""The composition root: the only place that knows how the parts fit together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ronkms_native import Arena

from ronkms.config.data_directory import prepare_data_directory
from ronkms.config.settings import Settings
from ronkms.domain.measure import ALGS, COUNTERS, GAUGE_INDEX, GAUGES, GENERATIONS, OPS, OUTCOMES
from ronkms.observe.clock import ClockSkew
from ronkms.seal import open_custody

SPARE_SLOTS: Final = 4
"""Arena slots beyond workers and admin process: a successor may start before its predecessor is buried."""
TENANTS: Final = 4096
"""Rows of the fair-share table: tenants that are active at the same time."""


class Application:
    """The composed service. Made in the arbiter; workers and the admin process get it by the fork."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock_skew = ClockSkew()
        directory = prepare_data_directory(settings.data_path)
        self.custody = open_custody(settings, directory / "keystore")
        self.arena = _make_arena(settings)
        self.arena.set_gauge(GAUGE_INDEX["kms_attestation_ready"], 1.0)
        self.wsgi: Any = _bare

    def after_fork(self, role: str) -> None:
        """First thing in a child; ``role`` is ``worker`` or ``admin``."""
        self.custody.relock()

    def missing(self) -> list[str]:
        """What keeps the service from being ready, in words; empty when nothing does."""
        return []

    def key_counts(self) -> Mapping[tuple[str, str], int]:
        """Keys by (state, algorithm)."""
        return {}

    def destroy_due(self) -> None:
        """Destroys what is past its window."""

    def publish(self, event: str, fields: Mapping[str, str | int]) -> None:
        """An event of the server itself."""

    def close(self) -> None:
        """Gives the data directory back."""
        self.custody.wipe()


def create_app(settings: Settings) -> Application:
    """Composes the service. Raises :class:`ronkms.errors.StartError`."""
    return Application(settings)


def _make_arena(settings: Settings) -> Arena:
    return Arena(
        cache_entries=settings.verify_cache_max,
        cache_ttl_ms=settings.verify_cache_ttl_ms,
        inflight_sign=settings.max_inflight_sign,
        inflight_verify=settings.max_inflight_verify,
        tenant_share_min=settings.tenant_share_min,
        slots=settings.worker_count + 1 + SPARE_SLOTS,
        tenants=TENANTS,
        ops=list(OPS),
        algs=list(ALGS),
        outcomes=list(OUTCOMES),
        counters=list(COUNTERS),
        gauges=list(GAUGES),
        generations=list(GENERATIONS),
    )


def _bare(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
