"""What the feeder shows, grants and reports, turn by turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from ronkms.audit.sinks import feeder as feeder_module
from ronkms.audit.sinks.board import State
from ronkms.audit.sinks.feeder import LEASE_MS, SinkFeeder
from tests.unit.audit.sinks.test_delivery import Bench, eventually


class FeederBench(Bench):
    """One required sink and its feeder."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, policy="required", max_delay_ms=200)
        self.leases: list[int] = []
        self.events: list[tuple[str, Mapping[str, str | int]]] = []
        self.feeder = SinkFeeder(
            [self.delivery],
            self.board,
            log=self.log,
            grant_lease=self.leases.append,
            publish=lambda event, fields: self.events.append((event, fields)),
        )
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.feeder.run, args=(self.ending,))

    def end(self) -> None:
        self.transport.free.set()
        self.ending.set()
        self.thread.join(30)
        assert not self.thread.is_alive()


def test_no_lease_before_the_sink_was_reached(tmp_path: Path) -> None:
    bench = FeederBench(tmp_path)
    bench.transport.refuses.set()
    bench.thread.start()
    eventually(lambda: bench.status.state == State.DOWN)
    assert LEASE_MS not in bench.leases
    bench.transport.refuses.clear()
    eventually(lambda: LEASE_MS in bench.leases)
    assert bench.status.state == State.UP
    bench.end()


def test_a_restarted_feeder_lets_the_lease_of_its_predecessor_last(tmp_path: Path) -> None:
    bench = FeederBench(tmp_path)
    bench.feeder.turn()
    assert (bench.status.state, bench.status.holding) == (State.STARTING, True)
    assert bench.leases == []


def test_a_stuck_sink_ends_the_lease_and_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeder_module, "SETTLED_SECONDS", 0.1)
    bench = FeederBench(tmp_path)
    bench.thread.start()
    eventually(lambda: LEASE_MS in bench.leases and bench.delivery.record == 100)
    bench.transport.free.clear()
    bench.log.grow(10)
    eventually(lambda: bench.leases[-1] == 0)
    assert (bench.status.state, bench.status.holding) == (State.DOWN, True)
    assert bench.status.error == "stuck: it has taken no record for 200 ms"
    bench.transport.free.set()
    eventually(lambda: bench.leases[-1] == LEASE_MS)
    eventually(lambda: len(bench.events) == 2)
    bench.end()
    assert bench.events == [
        ("BackendDown", {"backend": "audit:s", "error": "stuck: it has taken no record for 200 ms"}),
        ("BackendUp", {"backend": "audit:s"}),
    ]


def test_failures_that_come_and_go_are_one_report(tmp_path: Path) -> None:
    bench = FeederBench(tmp_path)
    bench.transport.at_once = 5
    bench.transport.fails_once_at = {20, 40, 60, 80}
    bench.thread.start()
    eventually(lambda: bench.delivery.record == 100)
    assert bench.delivery.faults == 4
    eventually(lambda: bench.events)
    assert [event for event, _ in bench.events] == ["BackendDown"]
    assert "Broken pipe" in str(bench.events[0][1]["error"])
    eventually(lambda: len(bench.events) == 2)
    assert bench.events[1][0] == "BackendUp"
    bench.end()


def test_the_end_delivers_what_is_left(tmp_path: Path) -> None:
    bench = FeederBench(tmp_path)
    bench.thread.start()
    eventually(lambda: bench.delivery.reached)
    bench.log.grow(300)
    bench.end()
    assert bench.transport.taken == list(range(10, 400))
    assert bench.file.load() == bench.log.position(400)


def test_the_end_does_not_wait_for_a_stuck_sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeder_module, "DRAIN_SECONDS", 0.1)
    bench = FeederBench(tmp_path)
    bench.thread.start()
    eventually(lambda: bench.delivery.reached)
    bench.transport.free.clear()
    bench.log.grow(1)
    time.sleep(0.1)
    bench.ending.set()
    bench.thread.join(30)
    assert not bench.thread.is_alive()
    bench.transport.free.set()
