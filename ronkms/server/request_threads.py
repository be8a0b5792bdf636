"""The threads of a worker: each takes the request whose tenant's turn it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from ronkms.server.fair_queue import FairQueue

_Item = TypeVar("_Item")


class RequestThreads(Generic[_Item]):
    """``threads`` threads that run ``work`` on one item at a time.

    ``work`` must not raise; what it returns is the tenant that the item turned out to be of, which is
    charged for the time. It has the place of an executor in gunicorn's worker, which uses ``shutdown`` alone.
    """

    def __init__(self, threads: int, work: Callable[[_Item], Hashable]) -> None:
        """To be called after the fork: the threads start at once."""
        self.queue: FairQueue[_Item] = FairQueue(threads)
        self._work = work
        self._threads = [
            threading.Thread(target=self._run, name=f"request-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, tenant: Hashable, item: _Item, *, known: bool = True) -> None:
        """Queues an item; see ``FairQueue.put``."""
        self.queue.put(tenant, item, known=known)

    def shutdown(self, wait: bool = True) -> None:
        """Ends the threads after what waits now; with ``wait`` only then returns."""
        self.queue.close()
        if wait:
            for thread in self._threads:
                thread.join()

    def _run(self) -> None:
        while (taken := self.queue.get()) is not None:
            tenant, item = taken
            began = time.monotonic()
            actual = self._work(item)
            self.queue.finished(tenant, actual, time.monotonic() - began)
