"""Background work of the admin process."""

from __future__ import annotations

import threading
import time

from ronkms.server.chores import Chore, Chores


def test_each_runs_at_its_own_pace_and_a_failure_ends_nothing() -> None:
    ran: dict[str, int] = {"often": 0, "broken": 0, "seldom": 0}
    enough = threading.Event()

    def often() -> None:
        ran["often"] += 1
        if ran["often"] >= 5:
            enough.set()

    def broken() -> None:
        ran["broken"] += 1
        raise RuntimeError("a chore that fails")

    def seldom() -> None:
        ran["seldom"] += 1

    chores = Chores([Chore("often", 0.01, often), Chore("broken", 0.01, broken), Chore("seldom", 60, seldom)])
    chores.start()
    assert enough.wait(5)
    chores.stop()
    assert ran["broken"] >= 2
    assert ran["seldom"] == 1


def test_stop_ends_the_thread() -> None:
    count = [0]

    def work() -> None:
        count[0] += 1

    chores = Chores([Chore("work", 0.005, work)])
    chores.start()
    time.sleep(0.05)
    chores.stop()
    after = count[0]
    time.sleep(0.05)
    assert 0 < after == count[0]
