"""Who is next: order within a tenant, shares between tenants, nothing lost."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ronkms.server.fair_queue import REMEMBERED, SMOOTHING, FairQueue
from ronkms.server.request_threads import RequestThreads


def drained(queue: FairQueue[tuple[str, int]], count: int, seconds: dict[str, float]) -> Counter[str]:
    """Thread time by tenant of the next ``count`` items."""
    spent: Counter[str] = Counter()
    for _ in range(count):
        tenant, _ = queue.get()
        queue.took(tenant, seconds[tenant])
        spent[tenant] += seconds[tenant]  # type: ignore[assignment]
    return spent


@given(st.lists(st.one_of(st.none(), st.sampled_from("abc")), max_size=200))
def test_every_item_comes_out_once_and_in_its_tenants_order(moves: list[str | None]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    given_, taken = dict.fromkeys("abc", 0), dict.fromkeys("abc", 0)
    for tenant in moves:
        if tenant is not None:
            queue.put(tenant, (tenant, given_[tenant]))
            given_[tenant] += 1
        elif len(queue):
            whose, number = queue.get()
            assert number == taken[whose]
            taken[whose] += 1
        assert len(queue) == sum(given_.values()) - sum(taken.values())
        assert [queue.length(name) for name in "abc"] == [given_[name] - taken[name] for name in "abc"]
    with pytest.raises(IndexError):
        for _ in range(len(queue) + 1):
            queue.get()


def test_a_flood_waits_in_its_own_line() -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for number in range(1000):
        queue.put("flood", ("flood", number))
    for number in range(3):
        queue.get()
        queue.put("small", ("small", number))
        # At most one request of the flood, that which had the same virtual time, goes before.
        assert "small" in {queue.get()[0], queue.get()[0]}


@given(st.floats(0.0001, 0.05), st.floats(0.0001, 0.05))
@example(0.04296875, 0.0001)
@example(0.05, 0.05)
@example(0.0001, 0.05)
def test_tenants_that_push_get_equal_thread_time_whatever_their_requests_cost(
    dear: float, cheap: float
) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    seconds = {"dear": dear, "cheap": cheap}
    rounds = 3000
    for number in range(rounds):
        queue.put("dear", ("dear", number))
        queue.put("cheap", ("cheap", number))
    drained(queue, 100, seconds)
    spent = drained(queue, rounds // 2, seconds)
    largest = max(seconds.values())
    # Until a tenant's cost is known it is charged too little: by its cost / SMOOTHING in all, and once.
    bound = (2 + 1 / SMOOTHING) * largest + 0.05 * sum(spent.values())
    assert abs(spent["dear"] - spent["cheap"]) <= bound


def test_a_pause_saves_nothing_up() -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    queue.put("idle", ("idle", 0))
    queue.get()
    for number in range(2000):
        queue.put("busy", ("busy", number))
    drained(queue, 1000, {"busy": 0.001})
    for number in range(1000):
        queue.put("idle", ("idle", number))
    taken = Counter(queue.get()[0] for _ in range(200))
    assert 60 <= taken["idle"] <= 140


def test_tenants_without_a_debt_are_forgotten() -> None:
    queue: FairQueue[int] = FairQueue()
    for number in range(5 * REMEMBERED):
        queue.put(number, number)
        queue.get()
    assert len(queue._lines) <= REMEMBERED + 1


def test_threads_run_everything_and_end() -> None:
    done: list[int] = []
    lock = threading.Lock()

    def work(item: int) -> str:
        with lock:
            done.append(item)
        return "t"

    threads: RequestThreads[int] = RequestThreads(4, work)
    for item in range(500):
        threads.submit(item % 7, item)
    threads.shutdown(wait=True)
    assert sorted(done) == list(range(500))
    assert len(threads.queue) == 0
