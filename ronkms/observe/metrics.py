"""The metrics of RUNBOOK 2 to 5 and 13, collected from the arena when they are scraped.

Hot counters live in the arena: a dead worker leaves nothing behind, and a scrape stops nobody. Label order
is that of the runbook's one-liners.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from ronkms_native import ArenaSnapshot

from ronkms.audit.sinks.board import SinkStatus
from ronkms.domain.measure import EXTERNAL_POLICY_NAME, VERIFY_MISS_NAME
from ronkms.observe.audit_sinks import sink_families
from ronkms.observe.logs import SERVICE
from ronkms.observe.memory import resident_bytes
from ronkms.observe.quantile import quantile

_COUNTERS: Final = {
    "http_requests_total": ("code", "HTTP answers by status code."),
    "rejected_total": (
        "reason",
        "Requests refused before any work; backpressure is 429, 503 saturated and past the deadline.",
    ),
    "kms_reject_total": (
        "reason",
        "Requests and items refused by policy; pq_policy is the 422 alone, policy_unavailable the lack of an"
        " answer.",
    ),
    "kms_external_policy_requests_total": ("outcome", "Questions to the external policy by their end."),
    "kms_external_policy_cache_total": ("result", "Wanted decisions that a worker remembered, or not."),
    "kms_external_policy_fail_open_total": (
        "class",
        "Operations that went on without a decision of the external policy.",
    ),
    "backend_reconnects_total": ("backend", "Sessions to a backend that had to be opened again."),
    "kms_audit_integrity_failed_total": ("", "Findings that the audit log is not what was written."),
    "kms_audit_records_total": ("", "Audit records appended."),
    "kms_audit_witness_failed_total": (
        "",
        "Attempts to have a checkpoint cosigned that the witness refused or did not answer.",
    ),
    "kms_audit_summarized_total": ("reason", "Refusals of rejected_total that a summary record has counted."),
    "kms_keystore_damaged_records_total": ("", "Sealed records found damaged; each isolates its key."),
    "kms_audit_segments_archived_total": ("", "Audit segments that were copied to the archive."),
    "kms_audit_segments_removed_total": ("", "Audit segments that left the data directory by retention."),
    "kms_audit_retention_failed_total": ("", "Turns of archiving and retention that failed."),
    "kms_rotation_failed_total": ("", "Attempts to rotate by policy that failed."),
    "kms_staged_refusals_total": ("", "Requests refused by keys that are disabled in stages."),
    "service_crashed_total": ("", "ServiceCrashed events: worker or admin processes that died unexpectedly."),
}

WAITING: Final = "waiting"
"""The ``op`` of ``kms_inflight`` for requests that are in hand and unread, so that theirs is not known."""

_NOT_OPERATIONS: Final = (VERIFY_MISS_NAME, EXTERNAL_POLICY_NAME)


class Snapshots(Protocol):
    """What gives a copy of the shared counters: ``ronkms_native.Arena``."""

    def snapshot(self) -> ArenaSnapshot: ...


class ExternalPolicy(Protocol):
    """How the external policy stands."""

    def up(self) -> bool: ...
    def breakers(self) -> Mapping[str, int]: ...


class KmsCollector(Collector):
    """All families of one scrape. The callables give what the arena does not hold."""

    def __init__(
        self,
        arena: Snapshots,
        *,
        keys: Callable[[], Mapping[tuple[str, str], int]],
        ready: Callable[[], bool],
        workers: Callable[[], int],
        waiting: Callable[[], int],
        places: int,
        parked: Callable[[], int],
        pids: Callable[[], Iterable[int]],
        skew_seconds: Callable[[], float],
        sinks: Callable[[], Sequence[SinkStatus]],
        audit_records: Callable[[], int],
        witness_age: Callable[[], float] | None,
        external_policy: ExternalPolicy | None = None,
    ) -> None:
        """``waiting``: requests that wait unread for a thread; ``places``: how many may, in all workers.
        ``witness_age`` in seconds; None without a witness."""
        self._arena = arena
        self._keys = keys
        self._ready = ready
        self._workers = workers
        self._waiting = waiting
        self._places = places
        self._parked = parked
        self._pids = pids
        self._skew_seconds = skew_seconds
        self._sinks = sinks
        self._audit_records = audit_records
        self._witness_age = witness_age
        self._external_policy = external_policy

    def collect(self) -> Iterator[Metric]:
        """The families, from one snapshot."""
        snapshot = self._arena.snapshot()
        yield from _latency(snapshot)
        yield _operations(snapshot)
        yield from _counters(snapshot.counters)
        yield from _cache(snapshot.cache)
        yield from _inflight({**snapshot.inflight, WAITING: (self._waiting(), self._places)})
        yield self._key_counts()
        yield _gauge("kms_ready", "1 when /readyz answers 200.", float(self._ready()))
        yield _gauge(
            "kms_attestation_ready",
            "1 when an attestation holds or none is required.",
            snapshot.gauges["kms_attestation_ready"],
        )
        yield _gauge(
            "kms_clock_skew_seconds",
            "How far the wall clock was moved since the start, against the boot-time clock.",
            self._skew_seconds(),
        )
        yield from sink_families(self._sinks(), self._audit_records())
        if self._witness_age is not None:
            yield _gauge(
                "kms_audit_witness_age_seconds",
                "Since the witness has cosigned the newest checkpoint.",
                self._witness_age(),
            )
        yield _gauge(
            "kms_rotation_failing",
            "Keys whose automatic rotation failed and waits for another attempt.",
            snapshot.gauges["kms_rotation_failing"],
        )
        yield _gauge("kms_workers", "Workers that serve.", self._workers())
        yield _gauge(
            "kms_connections_parked",
            "Connections of tenants over their share that are not read before their Retry-After.",
            self._parked(),
        )
        yield _gauge(
            "kms_rss_bytes", "Resident memory of all processes together.", resident_bytes(self._pids())
        )

        if self._external_policy is not None:
            yield from _external_policy(self._external_policy)

    def _key_counts(self) -> Metric:
        family = GaugeMetricFamily("kms_keys", "Keys by state and algorithm.", labels=("state", "alg"))
        for (state, alg), count in sorted(self._keys().items()):
            family.add_metric((state, alg), count)
        return family


def _external_policy(policy: ExternalPolicy) -> Iterator[Metric]:
    yield _gauge(
        "kms_external_policy_up", "1 while the decision point answers the admin process.", float(policy.up())
    )
    family = GaugeMetricFamily(
        "kms_external_policy_breaker", "Workers by the state of their circuit breaker.", labels=("state",)
    )
    for state, count in policy.breakers().items():
        family.add_metric((state,), count)
    yield family


def _latency(snapshot: ArenaSnapshot) -> Iterator[Metric]:
    bounds = snapshot.bucket_bounds
    latency = HistogramMetricFamily(
        "kms_latency_seconds", "Time from authorization to answer.", labels=("op", "alg")
    )
    miss = HistogramMetricFamily(
        "kms_verify_miss_latency_seconds",
        "Time of verifications that the cache did not answer.",
        labels=("alg",),
    )
    asked = HistogramMetricFamily(
        "kms_external_policy_latency_seconds", "Time from a question to its answer or failure."
    )
    by_op: dict[str, list[int]] = {}
    for op, alg, counts, total_seconds in snapshot.histograms:
        cumulative = _cumulative(bounds, counts)
        if op == VERIFY_MISS_NAME:
            miss.add_metric((alg,), cumulative, total_seconds)
            continue
        if op == EXTERNAL_POLICY_NAME:
            asked.add_metric((), cumulative, total_seconds)
            continue
        latency.add_metric((op, alg), cumulative, total_seconds)
        summed = by_op.setdefault(op, [0] * len(counts))
        by_op[op] = [mine + other for mine, other in zip(summed, counts, strict=True)]
    p95 = GaugeMetricFamily(
        "kms_latency_seconds_p95", "95th percentile since the start, from the same buckets.", labels=("op",)
    )
    for op, counts in by_op.items():
        p95.add_metric((op,), quantile(0.95, bounds, counts))
    yield from (latency, p95, miss, asked)


def _cumulative(bounds: list[float], counts: list[int]) -> list[tuple[str, float]]:
    running = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip([*(f"{bound:g}" for bound in bounds), "+Inf"], counts, strict=True):
        running += count
        buckets.append((bound, running))
    return buckets


def _operations(snapshot: ArenaSnapshot) -> Metric:
    family = CounterMetricFamily(
        "kms_ops",
        "Finished operations; tenants beyond the table are `other`.",
        labels=("tenant", "op", "outcome"),
    )
    for tenant, op, outcome, count in snapshot.ops:
        if op not in _NOT_OPERATIONS:
            family.add_metric((tenant, op, outcome), count)
    return family


def _counters(counters: Mapping[str, int]) -> Iterator[Metric]:
    families: dict[str, CounterMetricFamily] = {}
    for name, (label, text) in _COUNTERS.items():
        labels = [label] if label else []
        if name == "http_requests_total":
            labels.append("service")
        families[name] = CounterMetricFamily(name, text, labels=labels)
    for full_name, count in counters.items():
        name, _, value = full_name.partition("|")
        labels = [value] if value else []
        if name == "http_requests_total":
            labels.append(SERVICE)
        families[name].add_metric(labels, count)
    yield from families.values()


def _cache(cache: Mapping[str, int]) -> Iterator[Metric]:
    for result, text in (
        ("hit", "Verdicts served from the cache."),
        ("miss", "Lookups that found nothing."),
        ("stale", "Entries found past their life or of an old epoch: never served, verified again."),
    ):
        yield CounterMetricFamily(f"verify_cache_{result}", text, value=cache[result])
    yield _gauge("verify_cache_size", "Entries that hold a place.", cache["size"])
    yield _gauge("verify_cache_capacity", "Places of the verify cache.", cache["capacity"])
    yield _gauge("cache_age_ms", "Mean age of the entries, in milliseconds.", cache["age_ms"])
    for name, text, value in (
        ("verify_cache_stale_max_ms", "Age of the oldest entry that holds a place.", cache["oldest_ms"]),
        ("verify_cache_ttl_ms", "Life of an entry.", cache["ttl_ms"]),
    ):
        family = GaugeMetricFamily(name, f"{text[:-1]}, in milliseconds.", labels=("service",))
        family.add_metric((SERVICE,), value)
        yield family


def _inflight(inflight: Mapping[str, tuple[int, int]]) -> Iterator[Metric]:
    now = GaugeMetricFamily(
        "kms_inflight",
        "Cost units in flight; op waiting: requests that wait unread for a thread.",
        labels=("op",),
    )
    limit = GaugeMetricFamily(
        "kms_inflight_limit",
        "Cap of the cost units in flight; op waiting: places, beyond which a tenant over its part is parked.",
        labels=("op",),
    )
    for op, (current, cap) in inflight.items():
        now.add_metric((op,), current)
        limit.add_metric((op,), cap)
    yield from (now, limit)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
