"""Who is next: order within a tenant, shares between tenants, nothing lost."""

from __future__ import annotations

import threading
import time
from collections import Counter

from hypothesis import example, given
from hypothesis import strategies as st

from ronkms.server.fair_queue import LATELY, REMEMBERED, FairQueue
from ronkms.server.request_threads import RequestThreads

THREADS = 4


def drained(queue: FairQueue[tuple[str, int]], count: int, seconds: dict[str, float]) -> Counter[str]:
    """Thread time by tenant of the next ``count`` items."""
    spent: Counter[str] = Counter()
    for _ in range(count):
        tenant, _ = take(queue)
        queue.finished(tenant, tenant, seconds[tenant])
        spent[tenant] += seconds[tenant]  # type: ignore[assignment]
    return spent


def take(queue: FairQueue[tuple[str, int]]) -> tuple[str, int]:
    """The next item, which is still running."""
    taken = queue.get()
    assert taken is not None
    assert taken[0] == taken[1][0]
    return taken[1]


def done(queue: FairQueue[tuple[str, int]]) -> tuple[str, int]:
    """The next item, finished at once."""
    item = take(queue)
    queue.finished(item[0], item[0], 0.001)
    return item


@given(st.lists(st.one_of(st.none(), st.sampled_from("abc")), max_size=200))
def test_every_item_comes_out_once_and_in_its_tenants_order(moves: list[str | None]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(THREADS)
    given_, taken = dict.fromkeys("abc", 0), dict.fromkeys("abc", 0)
    for tenant in moves:
        if tenant is not None:
            queue.put(tenant, (tenant, given_[tenant]))
            given_[tenant] += 1
        elif len(queue):
            whose, number = done(queue)
            assert number == taken[whose]
            taken[whose] += 1
        assert len(queue) == sum(given_.values()) - sum(taken.values())
        assert [queue.length(name) for name in "abc"] == [given_[name] - taken[name] for name in "abc"]
    queue.close()
    for _ in range(len(queue)):
        done(queue)
    assert queue.get() is None


def test_a_flood_waits_in_its_own_line() -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(THREADS)
    for number in range(1000):
        queue.put("flood", ("flood", number))
    for number in range(3):
        done(queue)
        queue.put("small", ("small", number))
        # At most one request of the flood, that which had the same virtual time, goes before.
        assert "small" in {done(queue)[0], done(queue)[0]}


@given(st.floats(0.0001, 0.05), st.floats(0.0001, 0.05))
@example(0.04296875, 0.0001)
@example(0.05, 0.05)
@example(0.0001, 0.05)
def test_tenants_that_push_get_equal_thread_time_whatever_their_requests_cost(
    dear: float, cheap: float
) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(THREADS)
    seconds = {"dear": dear, "cheap": cheap}
    rounds = 3000
    for number in range(rounds):
        queue.put("dear", ("dear", number))
        queue.put("cheap", ("cheap", number))
    drained(queue, 100, seconds)
    spent = drained(queue, rounds // 2, seconds)
    largest = max(seconds.values())
    bound = 2 * largest + 0.05 * sum(spent.values())
    assert abs(spent["dear"] - spent["cheap"]) <= bound


def test_a_pause_saves_nothing_up() -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(THREADS)
    queue.put("idle", ("idle", 0))
    done(queue)
    for number in range(2000):
        queue.put("busy", ("busy", number))
    drained(queue, 1000, {"busy": 0.001})
    for number in range(1000):
        queue.put("idle", ("idle", number))
    taken = Counter(done(queue)[0] for _ in range(200))
    assert 60 <= taken["idle"] <= 140


def test_tenants_without_a_debt_are_forgotten() -> None:
    queue: FairQueue[int] = FairQueue(THREADS)
    for number in range(5 * REMEMBERED):
        queue.put(number, number)
        queue.get()
        queue.finished(number, number, 0.001)
    assert len(queue._lines) <= REMEMBERED + 1


def test_one_tenant_leaves_a_thread_to_others_that_were_served_lately() -> None:
    now = 100.0
    queue: FairQueue[tuple[str, int]] = FairQueue(THREADS, lambda: now)
    for number in range(10):
        queue.put("flood", ("flood", number))
    for _ in range(THREADS):
        take(queue)  # alone it may have all of them
    queue.finished("flood", "flood", 0.001)
    queue.put("small", ("small", 0))
    assert done(queue)[0] == "small"
    assert queue._next() is None
    assert (len(queue), queue.tenants) == (10 - THREADS, 1)
    now += 2 * LATELY
    queue.finished("flood", "flood", 0.001)
    assert [take(queue)[0], take(queue)[0]] == ["flood", "flood"]


def test_a_tenant_presses_while_it_waits_and_others_were_served_lately() -> None:
    now = 0.0
    queue: FairQueue[tuple[str, int]] = FairQueue(THREADS, lambda: now)
    queue.put("a", ("a", 0))
    queue.put("a", ("a", 1))
    take(queue)
    assert not queue.presses("a"), "alone"
    queue.put("b", ("b", 0))
    queue.put("?", ("?", 0), known=False)
    queue.put("?", ("?", 1), known=False)
    take(queue)
    assert queue.presses("a")
    assert not queue.presses("b"), "it has all that it asked for"
    assert not queue.presses("?"), "it may be anybody"
    assert not queue.presses("nobody")
    now = LATELY
    assert not queue.presses("a"), "the other was served too long ago"


def test_what_was_held_back_is_taken_when_a_thread_is_free(threads: int = THREADS) -> None:
    running: Counter[str] = Counter()
    peak: Counter[str] = Counter()
    lock = threading.Lock()
    ran: list[str] = []

    def work(item: tuple[str, int]) -> str:
        with lock:
            running[item[0]] += 1
            peak[item[0]] = max(peak[item[0]], running[item[0]])
        time.sleep(0.001)
        with lock:
            running[item[0]] -= 1
            ran.append(item[0])
        return item[0]

    pool: RequestThreads[tuple[str, int]] = RequestThreads(threads, work)
    for number in range(100):
        pool.submit("small", ("small", number))
        for each in range(3):
            pool.submit("flood", ("flood", 3 * number + each))
    pool.shutdown(wait=True)
    assert Counter(ran) == {"small": 100, "flood": 300}
    assert peak["small"] <= threads


def test_threads_run_everything_and_end() -> None:
    ran: list[int] = []
    lock = threading.Lock()

    def work(item: int) -> str:
        with lock:
            ran.append(item)
        return "t"

    threads: RequestThreads[int] = RequestThreads(4, work)
    for item in range(500):
        threads.submit(item % 7, item)
    threads.shutdown(wait=True)
    assert sorted(ran) == list(range(500))
    assert len(threads.queue) == 0
