"""The cost of two operations, from many short samples in turn of which the undisturbed ones count.

A sample takes some 2 ms, less than a time slice. One during which another process took the core is thrown
away; of the others a low quantile is the cost, because a cold cache or a busy neighbour only ever adds.
Where the work itself depends on luck (an ML-DSA signature is tried until it fits), the mean of many samples
is. Time is processor time of the calling thread.
"""

from __future__ import annotations

import gc
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.interleave import Operation

SAMPLE_SECONDS = 0.002
WANTED = 40
"""Undisturbed samples of each operation."""
WANTED_OF_LUCK = 150
QUANTILE = 0.1
MOST_TRIES = 4
"""Samples are at most so many times those wanted."""
FEWEST = 12
"""Fewer undisturbed samples than this, and the attempt says nothing."""


@dataclass(frozen=True)
class Costs:
    """Nanoseconds of processor time per operation. ``conclusive``: enough samples were undisturbed."""

    ours: float
    theirs: float
    conclusive: bool = True


def compare(ours: Operation, theirs: Operation, unit: int = 1) -> Costs:
    """The costs of operations that do the same work in each call. ``unit``: the size of ours' batches."""
    return _compare(ours, theirs, unit, WANTED, low_quantile)


def compare_random(ours: Operation, theirs: Operation) -> Costs:
    """The costs where the work of ``ours`` differs from call to call."""
    return _compare(ours, theirs, 1, WANTED_OF_LUCK, statistics.fmean)


def _compare(
    ours: Operation,
    theirs: Operation,
    unit: int,
    wanted: int,
    cost: Callable[[Sequence[float]], float],
) -> Costs:
    counts = _count_for(ours, unit), _count_for(theirs, unit)
    gc.collect()
    gc.freeze()  # What was made before is not looked through again while samples are taken.
    kept: tuple[list[float], list[float]] = [], []
    thrown: tuple[list[float], list[float]] = [], []
    for _ in range(wanted * MOST_TRIES):
        for operation, count, good, bad in zip((ours, theirs), counts, kept, thrown, strict=True):
            took, undisturbed = _sample(operation, count)
            (good if undisturbed else bad).append(took)
        if min(map(len, kept)) >= wanted:
            break
    conclusive = min(map(len, kept)) >= FEWEST
    found = [cost(good or bad) for good, bad in zip(kept, thrown, strict=True)]
    return Costs(found[0], found[1], conclusive)


def low_quantile(samples: Sequence[float]) -> float:
    """The value that ``QUANTILE`` of the samples are below."""
    return sorted(samples)[int(QUANTILE * len(samples))]


def _sample(operation: Operation, count: int) -> tuple[float, bool]:
    """Nanoseconds per operation, and whether no other process took the core meanwhile."""
    switches = _switches()
    began = time.thread_time_ns()
    operation(count)
    took = (time.thread_time_ns() - began) / count
    return took, _switches() == switches


def _switches() -> int:
    """How often another process has taken the core from this thread."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


def _count_for(operation: Operation, unit: int) -> int:
    """How many operations take ``SAMPLE_SECONDS``, in whole units; warms the operation up on the way."""
    count = unit
    while _fastest(operation, count) * count < SAMPLE_SECONDS * 1e9 / 4:
        count *= 4
    return max(1, round(SAMPLE_SECONDS * 1e9 / _fastest(operation, count) / unit)) * unit


def _fastest(operation: Operation, count: int) -> float:
    """Nanoseconds per operation; the first call of something is far slower than what follows."""
    return min(_sample(operation, count)[0] for _ in range(3))
