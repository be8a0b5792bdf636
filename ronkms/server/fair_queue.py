"""Who is served next: the requests that wait for a thread of one worker, fair to tenants.

Start-time fair queuing (Goyal, Vin, Cheng, SIGCOMM 1996): each tenant has a virtual time, that of the thread
time it has had; the tenant with the least is next; one that comes back after a pause begins at the present
virtual time, so nobody saves up. What a request will take is not known before it is read, so it is charged
what the tenant's requests took lately, and the difference once it is known. A tenant alone gets everything,
and one that floods waits in its own line: of two tenants that push, each gets half of the threads' time,
whatever their connections and costs.

While others were served lately, one tenant gets all threads but one at most: so they meet a free thread, and
share the processor with fewer of its requests. Lines of whoever is not known yet take no part in this: they
may be anybody's.

No I/O. Thread-safe.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from itertools import count
from typing import Final, Generic, TypeVar

_Item = TypeVar("_Item")

FIRST_COST: Final = 0.0005
"""Seconds that the first request of a tenant is taken for."""
SMOOTHING: Final = 0.25
"""Weight of the last request in what the next one is taken for."""
LATELY: Final = 1.0
"""Seconds for which a tenant that was served counts as one of the others."""
REMEMBERED: Final = 1024
"""Tenants without a waiting request that are remembered before those without a debt are dropped."""


class _Line(Generic[_Item]):
    """One tenant: what waits, its virtual time, and what a request of it takes."""

    __slots__ = ("cost", "held", "items", "known", "running", "virtual")

    def __init__(self, virtual: float, known: bool) -> None:
        self.known = known
        self.items: deque[_Item] = deque()
        self.virtual = virtual
        self.cost = FIRST_COST
        self.running = 0
        self.held = False
        """It has its turn, but as many threads as it may have: it is not in the heap."""


class FairQueue(Generic[_Item]):
    """Items by tenant, for ``threads`` takers. A tenant is any hashable.

    A taker calls ``get``, and ``finished`` for what it got. No taker ends while an item waits, so all that
    waits at ``close`` is still taken."""

    def __init__(self, threads: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._closed = False
        self._lines: dict[Hashable, _Line[_Item]] = {}
        self._heap: list[tuple[float, int, Hashable]] = []
        self._order = count()
        self._virtual = 0.0
        self._waiting = 0
        self._most = max(1, threads - 1)
        self._clock = clock
        self._last: tuple[Hashable, float] = (None, -LATELY)
        self._last_other: tuple[Hashable, float] = (None, -LATELY)
        self._held = 0

    def __len__(self) -> int:
        """How many items wait."""
        return self._waiting

    @property
    def tenants(self) -> int:
        """How many tenants have an item that waits."""
        return len(self._heap) + self._held

    def length(self, tenant: Hashable) -> int:
        """How many items of ``tenant`` wait."""
        line = self._lines.get(tenant)
        return 0 if line is None else len(line.items)

    def presses(self, tenant: Hashable) -> bool:
        """True if ``tenant`` waits for more than it has while others were served lately."""
        line = self._lines.get(tenant)
        return (
            line is not None
            and line.known
            and bool(line.items)
            and self._others_lately(tenant, self._clock())
        )

    def put(self, tenant: Hashable, item: _Item, *, known: bool = True) -> None:
        """Appends to the tenant's line. Not ``known``: the line of those whose tenant is not."""
        with self._changed:
            line = self._lines.get(tenant)
            if line is None:
                line = self._lines[tenant] = _Line(self._virtual, known)
            if not line.items and not line.held:
                line.virtual = max(line.virtual, self._virtual)
                heapq.heappush(self._heap, (line.virtual, next(self._order), tenant))
            line.items.append(item)
            self._waiting += 1
            self._changed.notify()

    def close(self) -> None:
        """Nothing will be put any more: ``get`` gives what is left, and then None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def get(self) -> tuple[Hashable, _Item] | None:
        """Waits for the next item and takes it, with its tenant. None after the end."""
        with self._changed:
            while True:
                taken = self._next()
                if taken is not None or (self._closed and not self._waiting):
                    return taken
                self._changed.wait()

    def finished(self, tenant: Hashable, actual: Hashable, seconds: float) -> None:
        """What ``get`` gave as ``tenant``'s is done; it was ``actual``'s and held a thread for so long."""
        with self._changed:
            line = self._lines[tenant]
            line.running -= 1
            whose = self._lines.get(actual)
            if whose is not None:
                whose.virtual += seconds - whose.cost
                whose.cost += (seconds - whose.cost) * SMOOTHING
            if line.held:
                line.held = False
                self._held -= 1
                heapq.heappush(self._heap, (line.virtual, next(self._order), tenant))
                self._changed.notify()

    def _next(self) -> tuple[Hashable, _Item] | None:
        """What is taken next; None if whoever waits has the threads that it may have."""
        now = self._clock()
        while self._heap:
            virtual, _, tenant = heapq.heappop(self._heap)
            line = self._lines[tenant]
            if line.virtual > virtual:
                # It was charged more since it was put there.
                heapq.heappush(self._heap, (line.virtual, next(self._order), tenant))
                continue
            if line.running < self._most or not line.known or not self._others_lately(tenant, now):
                return tenant, self._take(tenant, line, virtual, now)
            line.held = True
            self._held += 1
        return None

    def _take(self, tenant: Hashable, line: _Line[_Item], virtual: float, now: float) -> _Item:
        item = line.items.popleft()
        line.running += 1
        self._waiting -= 1
        if self._closed and not self._waiting:
            self._changed.notify_all()
        self._virtual = max(self._virtual, virtual)
        line.virtual = virtual + line.cost
        if line.known:
            if self._last[0] != tenant:
                self._last_other = self._last
            self._last = (tenant, now)
        if line.items:
            heapq.heappush(self._heap, (line.virtual, next(self._order), tenant))
        elif not self._heap and not self._held:
            # The end of a busy period: everyone begins anew.
            self._virtual = line.virtual
        if len(self._lines) > REMEMBERED + len(self._heap):
            self._forget()
        return item

    def _others_lately(self, tenant: Hashable, now: float) -> bool:
        other = self._last_other if self._last[0] == tenant else self._last
        return now - other[1] < LATELY

    def _forget(self) -> None:
        """Drops the tenants that wait for nothing and owe nothing."""
        self._lines = {
            tenant: line
            for tenant, line in self._lines.items()
            if line.items or line.running or line.virtual > self._virtual
        }
