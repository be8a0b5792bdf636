"""The metrics of the audit sinks: one label, ``sink``, with at most ``MAX_SINKS`` values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ronkms.audit.sinks.board import SinkStatus, State

_LABELS = ("sink",)


def sink_families(sinks: Sequence[SinkStatus], records: int) -> Iterator[Metric]:
    """Nothing without sinks. ``records`` of the log."""
    if not sinks:
        return
    for name, text, gauges in (
        (
            "kms_audit_sink_up",
            "1 when the sink takes the audit records.",
            [float(sink.state == State.UP) for sink in sinks],
        ),
        (
            "kms_audit_sink_holding",
            "1 when the sink is required and holds operations back.",
            [float(sink.holding) for sink in sinks],
        ),
        (
            "kms_audit_sink_lag_records",
            "Audit records that the sink has not taken yet.",
            [float(max(records - sink.record, 0)) for sink in sinks],
        ),
    ):
        gauge = GaugeMetricFamily(name, text, labels=_LABELS)
        for sink, value in zip(sinks, gauges, strict=True):
            gauge.add_metric((sink.name,), value)
        yield gauge
    for name, text, counts in (
        ("delivered", "Audit records that the sink has taken.", [sink.delivered for sink in sinks]),
        ("errors", "Failed attempts to bring records to the sink.", [sink.errors for sink in sinks]),
        ("dropped", "Audit records that the sink skipped.", [sink.dropped for sink in sinks]),
        ("cut", "Syslog messages that were too long and cut.", [sink.cut for sink in sinks]),
    ):
        counter = CounterMetricFamily(f"kms_audit_sink_{name}", text, labels=_LABELS)
        for sink, count in zip(sinks, counts, strict=True):
            counter.add_metric((sink.name,), count)
        yield counter
