"""The threads of a worker: each takes the request whose tenant's turn it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from queue import SimpleQueue
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
        self.queue: FairQueue[_Item] = FairQueue()
        self._work = work
        self._tokens: SimpleQueue[bool] = SimpleQueue()
        """One for each item that waits, so that idle threads sleep in C; False ends a thread."""
        self._threads = [
            threading.Thread(target=self._run, name=f"request-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, tenant: Hashable, item: _Item) -> None:
        """Queues an item."""
        self.queue.put(tenant, item)
        self._tokens.put(True)

    def shutdown(self, wait: bool = True) -> None:
        """Ends the threads after what waits now; with ``wait`` only then returns."""
        for _ in self._threads:
            self._tokens.put(False)
        if wait:
            for thread in self._threads:
                thread.join()

    def _run(self) -> None:
        queue = self.queue
        while self._tokens.get():
            item = queue.get()
            began = time.monotonic()
            tenant = self._work(item)
            queue.took(tenant, time.monotonic() - began)
