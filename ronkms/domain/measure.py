"""Names of everything that is counted, in the order that the arena knows them by.

The arena holds numbers by position (``ronkms_native.Arena``); ``observe/metrics.py`` turns them into the
metric names of RUNBOOK 2 to 5 and 13.
"""

from __future__ import annotations

from typing import Final

from ronkms.domain.algorithm import ALGORITHMS
from ronkms.domain.operation import Operation, Outcome

VERIFY_MISS_NAME: Final = "verify_miss"
EXTERNAL_POLICY_NAME: Final = "external_policy"
OPS: Final = (*(op.value for op in Operation), VERIFY_MISS_NAME, EXTERNAL_POLICY_NAME)
OP_INDEX: Final = {op: position for position, op in enumerate(Operation)}
VERIFY_MISS: Final = len(Operation)
"""Row of verifications that the cache did not answer: observed beside ``verify``, shown as
``kms_verify_miss_latency_seconds`` alone."""
EXTERNAL_POLICY_ASKED: Final = VERIFY_MISS + 1
"""Row of questions to the external policy, shown as ``kms_external_policy_latency_seconds`` alone."""

NO_ALG: Final = "none"
ALGS: Final = (NO_ALG, *ALGORITHMS)
ALG_INDEX: Final = {name: position for position, name in enumerate(ALGS)}

OUTCOMES: Final = tuple(outcome.value for outcome in Outcome)
OUTCOME_INDEX: Final = {outcome: position for position, outcome in enumerate(Outcome)}

HTTP_CODES: Final = (
    200,
    201,
    204,
    304,
    400,
    401,
    403,
    404,
    405,
    406,
    409,
    411,
    413,
    415,
    422,
    429,
    431,
    500,
    501,
    503,
)
REJECT_REASONS: Final = ("backpressure", "unauthenticated", "denied", "malformed", "too_large", "draining")
SUMMARIZED_REASONS: Final = tuple(reason for reason in REJECT_REASONS if reason != "denied")
"""Refusals that the audit log counts in summary records; each denied one has a record of its own."""

EXTERNAL_POLICY_OUTCOMES: Final = ("allow", "deny", "timeout", "unreachable", "bad_answer")
EXTERNAL_POLICY_CLASSES: Final = ("sign", "verify", "wrap", "unwrap", "lifecycle", "read", "admin")

COUNTERS: Final = (
    *(f"http_requests_total|{code}" for code in HTTP_CODES),
    "http_requests_total|other",
    *(f"rejected_total|{reason}" for reason in REJECT_REASONS),
    "kms_reject_total|pq_policy",
    "kms_reject_total|external_policy",
    "kms_reject_total|policy_unavailable",
    *(f"kms_external_policy_requests_total|{outcome}" for outcome in EXTERNAL_POLICY_OUTCOMES),
    *(f"kms_external_policy_cache_total|{result}" for result in ("hit", "miss")),
    *(f"kms_external_policy_fail_open_total|{name}" for name in EXTERNAL_POLICY_CLASSES),
    *(f"backend_reconnects_total|{backend}" for backend in ("file", "pkcs11", "tpm")),
    "kms_audit_integrity_failed_total",
    "kms_audit_records_total",
    "kms_audit_witness_failed_total",
    "kms_audit_segments_archived_total",
    "kms_audit_segments_removed_total",
    "kms_audit_retention_failed_total",
    *(f"kms_audit_summarized_total|{reason}" for reason in SUMMARIZED_REASONS),
    "service_crashed_total",
    "kms_keystore_damaged_records_total",
    "kms_rotation_failed_total",
    "kms_staged_refusals_total",
)
COUNTER_INDEX: Final = {name: position for position, name in enumerate(COUNTERS)}

GAUGES: Final = ("kms_attestation_ready", "kms_clock_skew_seconds", "kms_workers", "kms_rotation_failing")
GAUGE_INDEX: Final = {name: position for position, name in enumerate(GAUGES)}

GENERATIONS: Final = (
    "keyring",
    "capability",
    "policy",
    "audit checkpoint",
    "audit receipt",
    "external policy",
    "audit digest",
)
KEYRING: Final = 0
CAPABILITY: Final = 1
POLICY: Final = 2
AUDIT_CHECKPOINT: Final = 3
"""Moved by each checkpoint of the audit log."""
AUDIT_RECEIPT: Final = 4
"""Moved by who waits for a checkpoint."""
EXTERNAL_POLICY: Final = 5
"""Moved to end all remembered decisions of the external policy."""
AUDIT_DIGEST: Final = 6
"""Moved by each new epoch of digest keys."""


def http_counter(status: int) -> int:
    """Index of the counter of an HTTP status."""
    return COUNTER_INDEX.get(f"http_requests_total|{status}", COUNTER_INDEX["http_requests_total|other"])
