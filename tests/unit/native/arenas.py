"""Small arenas for the tests of the native core."""

from __future__ import annotations

from typing import Any

from ronkms_native import Arena

SIZES: dict[str, Any] = {
    "cache_entries": 1024,
    "cache_ttl_ms": 60_000,
    "inflight_sign": 100,
    "inflight_verify": 200,
    "tenant_share_min": 0.1,
    "slots": 16,
    "tenants": 64,
    "ops": ["sign", "verify"],
    "algs": ["Ed25519", "ML-DSA-65"],
    "outcomes": ["ok", "denied"],
    "counters": ["requests", "records"],
    "gauges": ["skew"],
    "generations": ["keyring", "policy"],
}

SATURATED = -1
OVER_SHARE = -2
MISS = -1
STALE = -2


def make_arena(**sizes: object) -> Arena:
    """An arena of ``SIZES`` with some of them replaced."""
    return Arena(**{**SIZES, **sizes})
