"""Quantiles out of histogram buckets."""

from __future__ import annotations

from collections.abc import Sequence


def quantile(fraction: float, bounds: Sequence[float], counts: Sequence[int]) -> float:
    """The ``fraction`` quantile, interpolated inside its bucket as ``histogram_quantile`` does.

    ``bounds`` are upper bounds without +Inf; ``counts`` are per bucket, +Inf last. Beyond the last bound
    the answer is that bound; without observations it is 0.
    """
    total = sum(counts)
    if total == 0:
        return 0.0
    rank = fraction * total
    below = 0
    lower = 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count and below + count >= rank:
            # The sum may round up past the bound.
            return min(lower + (bound - lower) * (rank - below) / count, bound)
        below += count
        lower = bound
    return bounds[-1]
