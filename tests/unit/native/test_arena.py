"""The arena's Python contract (``_native.pyi``); its algorithms are tested in Rust."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ronkms_native import ArenaError, InputError

from tests.unit.native.arenas import MISS, OVER_SHARE, SATURATED, STALE, make_arena


def in_child(work: Callable[[], None]) -> int:
    """Runs ``work`` in a forked child. Returns the exit status; 0 if it returned."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cache_entries", 7),
        ("cache_ttl_ms", 0),
        ("inflight_sign", 0),
        ("inflight_verify", 70_000),
        ("tenant_share_min", 1.5),
        ("slots", 0),
        ("tenants", 1),
        ("ops", []),
        ("counters", ["twice", "twice"]),
    ],
)
def test_a_size_out_of_range_is_named(field: str, value: object) -> None:
    with pytest.raises(InputError, match=field):
        make_arena(**{field: value})


def test_the_default_sizes_fit() -> None:
    arena = make_arena(cache_entries=262_144, tenants=4096)
    assert arena.size < 24 << 20
    assert arena.snapshot().cache["capacity"] == 262_144 + 32_768


# --- slots -------------------------------------------------------------------------------------------


def test_a_dead_worker_gives_everything_back() -> None:
    arena = make_arena()
    slot = arena.claim_slot()

    def hold_and_die() -> None:
        arena.enter_slot(slot)
        for _ in range(7):
            assert arena.admit(0, b"acme", 3) >= 0
        assert arena.admit(1, b"acme", 1) >= 0

    assert in_child(hold_and_die) == 0
    assert arena.snapshot().inflight == {"sign": (21, 100), "verify": (1, 200)}
    assert arena.reclaim_slot(slot) == 8
    assert arena.snapshot().inflight == {"sign": (0, 100), "verify": (0, 200)}
    with pytest.raises(ArenaError):
        arena.reclaim_slot(slot)
    assert arena.claim_slot() == slot


def test_slots_run_out_with_a_message() -> None:
    arena = make_arena(slots=2)
    assert {arena.claim_slot(), arena.claim_slot()} == {1, 2}
    with pytest.raises(ArenaError, match="all 2 worker slots"):
        arena.claim_slot()
    with pytest.raises(ArenaError, match="not claimed"):
        make_arena().enter_slot(1)


def test_children_share_cache_generations_and_counters() -> None:
    arena = make_arena()
    tag = arena.cache_tag([b"t", b"m", b"s"])
    slot = arena.claim_slot()

    def work() -> None:
        arena.enter_slot(slot)
        assert arena.cache_tag([b"t", b"m", b"s"]) == tag
        arena.cache_put(tag, 3, negative=False)
        arena.bump(0)
        arena.count(1, 5)
        arena.observe(0, 1, 0, b"acme", 2_000_000)

    assert in_child(work) == 0
    assert arena.cache_get(tag) == 3
    assert (arena.generation(0), arena.generation(1)) == (1, 0)
    snapshot = arena.snapshot()
    assert snapshot.counters == {"requests": 0, "records": 5}
    assert snapshot.ops == [("acme", "sign", "ok", 1)]


# --- admission ---------------------------------------------------------------------------------------


def test_a_tenant_alone_is_saturated_others_are_over_share() -> None:
    arena = make_arena()
    flood = []
    while (permit := arena.admit(0, b"flood", 1)) >= 0:
        flood.append(permit)
    assert (len(flood), permit) == (100, SATURATED)
    assert arena.admit(0, b"small", 1) == SATURATED
    # The refusal keeps the next free place for the small tenant (seen with the next clock tick).
    time.sleep(0.02)
    arena.release(flood.pop())
    assert arena.admit(0, b"flood", 1) == OVER_SHARE
    small = arena.admit(0, b"small", 1)
    assert small >= 0
    assert arena.top_up(small, 5) == SATURATED
    arena.release(flood.pop())
    assert arena.top_up(small, 1) == 0
    assert arena.snapshot().inflight["sign"] == (100, 100)
    for permit in [*flood, small]:
        arena.release(permit)
    assert arena.snapshot().inflight["sign"] == (0, 100)


def test_a_permit_is_released_once() -> None:
    arena = make_arena()
    permit = arena.admit(1, b"acme", 1)
    arena.release(permit)
    for call in (lambda: arena.release(permit), lambda: arena.top_up(permit, 1), lambda: arena.release(-1)):
        with pytest.raises(ArenaError, match="does not hold that permit"):
            call()
    with pytest.raises(InputError, match="op_class"):
        arena.admit(2, b"acme", 1)


# --- verify cache ------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=80), max_size=5), st.lists(st.binary(max_size=80), max_size=5))
def test_tags_are_equal_exactly_for_equal_parts(left: list[bytes], right: list[bytes]) -> None:
    arena = make_arena()
    assert (arena.cache_tag(left) == arena.cache_tag(right)) == (left == right)
    assert len(arena.cache_tag(left)) == 32


def test_tags_of_two_arenas_differ() -> None:
    assert make_arena().cache_tag([b"x"]) != make_arena().cache_tag([b"x"])


def test_hit_miss_stale_are_told_apart_and_counted() -> None:
    arena = make_arena(cache_ttl_ms=30)
    parts = [b"tenant", b"message", b"signature"]
    tag = arena.cache_tag(parts)
    assert arena.cache_get(tag) == MISS
    arena.cache_put(tag, 255, negative=False)
    assert arena.cache_get(tag) == arena.cache_lookup(parts) == 255
    time.sleep(0.06)
    assert arena.cache_get(tag) == STALE
    cache = arena.snapshot().cache
    assert (cache["hit"], cache["miss"], cache["stale"], cache["size"], cache["ttl_ms"]) == (2, 1, 1, 1, 30)
    assert cache["oldest_ms"] >= 40
    assert arena.cache_sweep() == 1
    assert arena.cache_get(tag) == MISS


def test_sweep_drops_all_on_demand() -> None:
    arena = make_arena()
    for number in range(50):
        arena.cache_put(arena.cache_tag([number.to_bytes(2, "big")]), number % 2, negative=number % 2 == 0)
    assert arena.cache_sweep() == 0
    assert arena.cache_sweep(all_entries=True) == 50
    assert arena.snapshot().cache["size"] == 0


def test_a_concurrent_miss_gets_the_first_ones_verdict() -> None:
    # A claim waits for 2 ms at most: a busy machine may need some tries until the verdict comes in time.
    assert any(_second_claim_of(b"slow %d" % number) == 1 for number in range(200))


def _second_claim_of(name: bytes) -> int:
    """What another thread's claim brings, which began before the first one's verdict was there."""
    arena = make_arena()
    tag = arena.cache_tag([name])
    assert arena.cache_claim(tag) == MISS
    found: list[int] = []
    claims = threading.Event()

    def claim() -> None:
        claims.set()
        found.append(arena.cache_claim(tag))

    waiter = threading.Thread(target=claim)
    waiter.start()
    claims.wait()
    time.sleep(0.0002)
    computed = not found
    arena.cache_put(tag, 1, negative=False)
    waiter.join()
    return found[0] if computed else MISS


def test_a_claim_that_was_given_up_keeps_nobody_waiting() -> None:
    arena = make_arena()
    tag = arena.cache_tag([b"given up"])
    waits = []
    for _ in range(20):
        assert arena.cache_claim(tag) == MISS
        arena.cache_abandon(tag)
        start = time.perf_counter()
        assert arena.cache_claim(tag) == MISS
        waits.append(time.perf_counter() - start)
        arena.cache_abandon(tag)
    assert min(waits) < 0.002, "nobody computes, so nobody waits"


@pytest.mark.parametrize("tag", [b"", b"x" * 31, b"x" * 33])
def test_a_tag_has_32_bytes(tag: bytes) -> None:
    with pytest.raises(InputError, match="32 bytes"):
        make_arena().cache_get(tag)


# --- metrics -----------------------------------------------------------------------------------------


def test_a_snapshot_shows_what_was_observed() -> None:
    arena = make_arena()
    for nanoseconds in (40_000, 60_000, 11_000_000_000):
        arena.observe(1, 0, 1, b"acme", nanoseconds)
    arena.set_gauge(0, -2.5)
    snapshot = arena.snapshot()
    bounds = snapshot.bucket_bounds
    assert bounds == sorted(bounds)
    assert (bounds[0], bounds[-1]) == (50e-6, 10.0)
    [(op, alg, buckets, total)] = snapshot.histograms
    assert (op, alg) == ("verify", "Ed25519")
    assert len(buckets) == len(bounds) + 1
    assert (buckets[0], buckets[1], buckets[-1], sum(buckets)) == (1, 1, 1, 3)
    assert total == pytest.approx(11.0001)
    assert snapshot.gauges == {"skew": -2.5}


def test_tenant_labels_are_bounded() -> None:
    arena = make_arena()
    for number in range(100):
        arena.observe(0, 0, 0, f"tenant-{number}".encode(), 1)
    counts = {tenant: count for tenant, _, _, count in arena.snapshot().ops}
    assert len(counts) == 65
    assert counts["other"] == 36


@pytest.mark.parametrize("indices", [(2, 0, 0), (0, 2, 0), (0, 0, 2)])
def test_an_index_out_of_range_is_refused(indices: tuple[int, int, int]) -> None:
    with pytest.raises(InputError):
        make_arena().observe(*indices, b"acme", 1)
