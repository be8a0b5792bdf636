"""Metric names, labels and their order, as the runbook's commands read them."""

from __future__ import annotations

import re
import subprocess
from typing import Any, cast

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from ronkms.audit.sinks.board import SinkStatus, State
from ronkms.observe.exposition import render_metrics
from ronkms.observe.metrics import KmsCollector, Snapshots
from tests.unit.observe.snapshot import Arena

parse_openmetrics: Any = openmetrics_parser.text_string_to_metric_families

CONTRACT = {
    "kms_latency_seconds_bucket": {"op", "alg", "le"},
    "kms_latency_seconds_count": {"op", "alg"},
    "kms_latency_seconds_sum": {"op", "alg"},
    "kms_latency_seconds_p95": {"op"},
    "kms_ops_total": {"tenant", "op", "outcome"},
    "rejected_total": {"reason"},
    "kms_reject_total": {"reason"},
    "verify_cache_hit_total": set(),
    "verify_cache_miss_total": set(),
    "verify_cache_stale_total": set(),
    "verify_cache_size": set(),
    "cache_age_ms": set(),
    "verify_cache_stale_max_ms": {"service"},
    "verify_cache_ttl_ms": {"service"},
    "backend_reconnects_total": {"backend"},
    "kms_audit_integrity_failed_total": set(),
    "http_requests_total": {"code", "service"},
    "service_crashed_total": set(),
    "kms_inflight": {"op"},
    "kms_inflight_limit": {"op"},
    "kms_keys": {"state", "alg"},
    "kms_ready": set(),
    "kms_attestation_ready": set(),
    "kms_clock_skew_seconds": set(),
    "kms_rss_bytes": set(),
    "kms_verify_miss_latency_seconds_bucket": {"alg", "le"},
    "kms_audit_sink_up": {"sink"},
    "kms_audit_sink_holding": {"sink"},
    "kms_audit_sink_lag_records": {"sink"},
    "kms_audit_sink_delivered_total": {"sink"},
    "kms_audit_sink_errors_total": {"sink"},
    "kms_audit_sink_dropped_total": {"sink"},
    "kms_audit_sink_cut_total": {"sink"},
    "kms_audit_witness_age_seconds": set(),
}

SINKS = [
    SinkStatus("siem", State.UP, False, "", 48, 0, delivered=8, errors=1, dropped=0, cut=0, error="late"),
    SinkStatus("log", State.DOWN, True, "gone", 10, 0, delivered=4, errors=7, dropped=3, cut=2, error="gone"),
]


def _collector() -> KmsCollector:
    return KmsCollector(
        cast(Snapshots, Arena()),
        keys=lambda: {("enabled", "Ed25519"): 3},
        ready=lambda: True,
        workers=lambda: 2,
        waiting=lambda: 3,
        places=1536,
        parked=lambda: 1,
        pids=list,
        skew_seconds=lambda: -0.25,
        sinks=lambda: SINKS,
        audit_records=lambda: 50,
        witness_age=lambda: 12.5,
    )


@pytest.fixture(scope="module")
def text() -> str:
    return render_metrics(_collector().collect(), openmetrics=False).decode()


def test_names_and_labels_are_the_contract(text: str) -> None:
    found: dict[str, set[str]] = {}
    for family in parse_plain(text):
        for sample in family.samples:
            found.setdefault(sample.name, set(sample.labels)).update(sample.labels)
    assert {name: found.get(name) for name in CONTRACT} == CONTRACT


def test_both_forms_say_what_the_collector_said(text: str) -> None:
    openmetrics = render_metrics(_collector().collect(), openmetrics=True).decode()
    expected = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in _collector().collect()
        for sample in family.samples
    }
    assert _samples(parse_plain(text)) == expected
    assert _samples(parse_openmetrics(openmetrics)) == expected
    assert openmetrics.endswith("# EOF\n")


def _samples(families: Any) -> dict[Any, float]:
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_p95_is_interpolated_over_all_algorithms(text: str) -> None:
    # 200 signs: 90 up to 1 ms, 108 up to 10 ms; rank 190 is 100/108 of the second bucket.
    expected = 0.001 + 0.009 * 100 / 108
    line = next(line for line in text.splitlines() if line.startswith('kms_latency_seconds_p95{op="sign"'))
    assert float(line.split()[1]) == pytest.approx(expected)


def test_a_sink_is_told_by_its_name(text: str) -> None:
    for line in (
        'kms_audit_sink_up{sink="siem"} 1',
        'kms_audit_sink_up{sink="log"} 0',
        'kms_audit_sink_holding{sink="log"} 1',
        'kms_audit_sink_lag_records{sink="siem"} 2',
        'kms_audit_sink_lag_records{sink="log"} 40',
        'kms_audit_sink_delivered_total{sink="siem"} 8',
        'kms_audit_sink_errors_total{sink="log"} 7',
        'kms_audit_sink_dropped_total{sink="log"} 3',
        'kms_audit_sink_cut_total{sink="log"} 2',
        "kms_audit_witness_age_seconds 12.5",
    ):
        assert f"{line}\n" in text or f"{line}.0\n" in text


def test_misses_are_not_operations(text: str) -> None:
    assert 'op="verify_miss"' not in text
    assert 'kms_verify_miss_latency_seconds_count{alg="Ed25519"} 2' in text


def test_help_names_the_event(text: str) -> None:
    assert re.search(r"^# HELP service_crashed_total .*ServiceCrashed", text, re.MULTILINE)


def _shell(command: str, text: str) -> list[str]:
    done = subprocess.run(["bash", "-c", command], input=text, text=True, capture_output=True, check=True)
    return done.stdout.splitlines()


def test_runbook_slo_snapshot(text: str) -> None:
    assert len(_shell("""grep 'kms_latency_seconds_p95{op="sign"'""", text)) == 1


def test_runbook_top_talkers(text: str) -> None:
    command = (
        r"""grep 'kms_ops_total' """
        r"""| sed 's/.*tenant="\([^"]*\)".*op="\([^"]*\)".*} \([0-9.]*\)/\1 \2 \3/' | sort"""
    )
    assert "acme sign 200" in _shell(command, text)


def test_runbook_red_flags(text: str) -> None:
    lines = _shell("grep -E 'backend_reconnects|ServiceCrashed|rejected_total'", text)
    assert any(line.startswith("backend_reconnects_total{") for line in lines)
    assert any("ServiceCrashed" in line for line in lines)
    assert 'rejected_total{reason="backpressure"} 7' in lines


def test_runbook_alert_selectors(text: str) -> None:
    for series in (
        'http_requests_total{code="503",service="ron-kms"}',
        'verify_cache_stale_max_ms{service="ron-kms"}',
        'verify_cache_ttl_ms{service="ron-kms"}',
        'kms_reject_total{reason="pq_policy"}',
    ):
        assert f"\n{series} " in text


def test_what_waits_for_a_thread_counts_as_in_flight(text: str) -> None:
    assert 'kms_inflight{op="waiting"} 3' in text.splitlines()
    assert 'kms_inflight_limit{op="waiting"} 1536' in text.splitlines()
