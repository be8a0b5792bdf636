"""Who is served next: the requests that wait for a thread of one worker, fair to tenants.

Start-time fair queuing (Goyal, Vin, Cheng, SIGCOMM 1996): each tenant has a virtual time, that of the thread
time it has had; the tenant with the least is next; one that comes back after a pause begins at the present
virtual time, so nobody saves up. What a request will take is not known before it is read, so it is charged
what the tenant's requests took lately. A tenant alone gets everything, and one that floods waits in its own
line: of two tenants that push, each gets half of the threads' time, whatever their connections and costs.

No I/O and no clock. Thread-safe.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Hashable
from itertools import count
from typing import Final, Generic, TypeVar

_Item = TypeVar("_Item")

FIRST_COST: Final = 0.0005
"""Seconds that the first request of a tenant is taken for."""
SMOOTHING: Final = 0.25
"""Weight of the last request in what the next one is taken for."""
REMEMBERED: Final = 1024
"""Tenants without a waiting request that are remembered before those without a debt are dropped."""


class _Line(Generic[_Item]):
    """One tenant: what waits, its virtual time, and what a request of it takes."""

    __slots__ = ("cost", "items", "virtual")

    def __init__(self, virtual: float) -> None:
        self.items: deque[_Item] = deque()
        self.virtual = virtual
        self.cost = FIRST_COST


class FairQueue(Generic[_Item]):
    """Items by tenant. A tenant is any hashable."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[Hashable, _Line[_Item]] = {}
        self._heap: list[tuple[float, int, Hashable]] = []
        self._order = count()
        self._virtual = 0.0
        self._waiting = 0

    def __len__(self) -> int:
        """How many items wait."""
        return self._waiting

    @property
    def tenants(self) -> int:
        """How many tenants have an item that waits."""
        return len(self._heap)

    def length(self, tenant: Hashable) -> int:
        """How many items of ``tenant`` wait."""
        line = self._lines.get(tenant)
        return 0 if line is None else len(line.items)

    def put(self, tenant: Hashable, item: _Item) -> None:
        """Appends to the tenant's line."""
        with self._lock:
            line = self._lines.get(tenant)
            if line is None:
                line = self._lines[tenant] = _Line(self._virtual)
            if not line.items:
                line.virtual = max(line.virtual, self._virtual)
                heapq.heappush(self._heap, (line.virtual, next(self._order), tenant))
            line.items.append(item)
            self._waiting += 1

    def get(self) -> _Item:
        """Takes the next item. Raises IndexError if none waits."""
        with self._lock:
            virtual, _, tenant = heapq.heappop(self._heap)
            line = self._lines[tenant]
            item = line.items.popleft()
            self._waiting -= 1
            self._virtual = virtual
            line.virtual = virtual + line.cost
            if line.items:
                heapq.heappush(self._heap, (line.virtual, next(self._order), tenant))
            elif not self._heap:
                # The end of a busy period: everyone begins anew.
                self._virtual = line.virtual
            if len(self._lines) > REMEMBERED + len(self._heap):
                self._forget()
            return item

    def took(self, tenant: Hashable, seconds: float) -> None:
        """A request of ``tenant`` held a thread for ``seconds``: the next ones are charged accordingly."""
        with self._lock:
            line = self._lines.get(tenant)
            if line is not None:
                line.cost += (seconds - line.cost) * SMOOTHING

    def _forget(self) -> None:
        """Drops the tenants that wait for nothing and owe nothing."""
        self._lines = {
            tenant: line for tenant, line in self._lines.items() if line.items or line.virtual > self._virtual
        }
