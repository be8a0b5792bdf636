"""A snapshot with known numbers, of the shape that the arena gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from ronkms.domain.measure import COUNTERS, GAUGES


@dataclass
class Snapshot:
    """As ``ronkms_native.ArenaSnapshot``."""

    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 7))
    gauges: dict[str, float] = field(default_factory=lambda: dict.fromkeys(GAUGES, 1.0))
    bucket_bounds: list[float] = field(default_factory=lambda: [0.001, 0.01, 0.1])
    histograms: list[tuple[str, str, list[int], float]] = field(
        default_factory=lambda: [
            ("sign", "Ed25519", [90, 8, 2, 0], 0.2),
            ("sign", "ML-DSA-65", [0, 100, 0, 0], 0.5),
            ("verify", "Ed25519", [5, 0, 0, 0], 0.002),
            ("verify_miss", "Ed25519", [2, 0, 0, 0], 0.001),
        ]
    )
    ops: list[tuple[str, str, str, int]] = field(
        default_factory=lambda: [
            ("acme", "sign", "ok", 200),
            ('odd"\\\ntenant', "verify", "invalid", 3),
            ("acme", "verify_miss", "ok", 2),
        ]
    )
    cache: dict[str, int] = field(
        default_factory=lambda: {
            "hit": 10,
            "miss": 4,
            "stale": 1,
            "size": 3,
            "capacity": 262144,
            "age_ms": 1500,
            "oldest_ms": 2500,
            "ttl_ms": 300000,
        }
    )
    inflight: dict[str, tuple[int, int]] = field(
        default_factory=lambda: {"sign": (3, 512), "verify": (0, 1024)}
    )


class Arena:
    """What the collector asks."""

    def snapshot(self) -> Snapshot:
        """Known numbers."""
        return Snapshot()
