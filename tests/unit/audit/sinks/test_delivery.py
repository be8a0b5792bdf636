"""One sink's thread over a log on disk, with a sink in memory."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronkms.audit.sinks.board import SinkBoard, SinkStatus
from ronkms.audit.sinks.delivery import Delivery, backoff_seconds, fault_text
from ronkms.audit.sinks.position import Position, PositionFile
from ronkms.domain.audit_sink import AuditSink
from ronkms.errors import AuditUnavailable, IntegrityError
from tests.eventually import eventually
from tests.fakes.sink_transport import FakeTransport
from tests.unit.audit.log_files import ORIGIN, leaf, make_lines, write_log

SECONDS = 30.0


class GrowingLog:
    """A log on disk in segments of 40 records; ``durable`` of them may leave."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lines: list[bytes] = []
        self.durable = 0

    def grow(self, count: int) -> None:
        self.lines += make_lines(count, len(self.lines), leaf(self.lines[-1]) if self.lines else ORIGIN)
        self.write()
        self.durable = len(self.lines)

    def write(self) -> None:
        write_log(self.directory, [self.lines[at : at + 40] for at in range(0, len(self.lines), 40)] or [[]])

    def position(self, record: int) -> Position:
        return Position(record, leaf(self.lines[record - 1]) if record else ORIGIN)


class Bench:
    """A delivery with everything around it."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.log = GrowingLog(directory)
        self.log.grow(100)
        self.sink = AuditSink(name="s", target="file:/s", backoff_max_ms=100, **settings)
        self.board = SinkBoard(["s"])
        self.transport = FakeTransport()
        self.file = PositionFile(directory, "s")
        self.file.save(self.log.position(10))
        self.dropped: list[tuple[str, int, int]] = []
        self.failures: list[int] = []
        self.delivery = self.make()

    def make(self) -> Delivery:
        return Delivery(
            self.sink,
            self.transport,
            self.log.directory,
            log=self.log,
            row=self.board.rows[0],
            report_dropped=self.report_dropped,
            count_failure=lambda: self.failures.append(1),
        )

    def report_dropped(self, name: str, first: int, last: int) -> None:
        self.dropped.append((name, first, last))

    def again(self) -> None:
        """As after a crash of the feeding process."""
        self.delivery = self.make()
        self.delivery.start()

    def stop(self) -> None:
        self.transport.free.set()
        self.delivery.stop()
        assert self.delivery.wait(SECONDS)

    @property
    def status(self) -> SinkStatus:
        return self.board.read()[0]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.stop()


def test_records_go_out_in_order_from_the_position_on(bench: Bench) -> None:
    bench.delivery.start()
    eventually(lambda: bench.delivery.record == 100)
    bench.log.grow(50)
    eventually(lambda: bench.delivery.record == 150)
    assert bench.transport.taken == list(range(10, 150))
    assert bench.transport.lines == bench.log.lines[10:]
    eventually(lambda: bench.file.load() == bench.log.position(150))
    assert bench.status.delivered == 140
    assert (bench.delivery.reached, bench.delivery.fault, bench.delivery.faults) == (True, "", 0)


def test_what_is_not_durable_stays_here(bench: Bench) -> None:
    bench.log.durable = 60
    bench.delivery.start()
    eventually(lambda: bench.delivery.record == 60)
    time.sleep(0.1)
    assert bench.transport.taken[-1] == 59
    bench.log.durable = 100
    eventually(lambda: bench.transport.taken[-1] == 99)


def test_a_failing_sink_is_tried_again_and_loses_nothing(bench: Bench) -> None:
    bench.transport.at_once = 7
    bench.transport.refuses.set()
    bench.delivery.start()
    eventually(lambda: bench.transport.opened > 2)
    assert bench.delivery.fault == "connection refused"
    bench.transport.fails_once_at = {10, 45, 99}
    bench.transport.refuses.clear()
    eventually(lambda: bench.delivery.record == 100)
    assert bench.transport.taken == list(range(10, 100)), "once each, since none was in doubt"
    assert bench.delivery.fault == ""
    assert bench.delivery.faults == 3, "refused and broken at 10 are one"
    assert bench.status.errors >= 5


def test_an_idle_sink_that_goes_away_is_noticed(bench: Bench) -> None:
    bench.delivery.start()
    eventually(lambda: bench.delivery.record == 100)
    bench.transport.gone.set()
    eventually(lambda: bench.delivery.faults)
    assert bench.status.error == "the peer closed the connection"
    bench.transport.gone.clear()
    eventually(lambda: not bench.delivery.fault)


def test_after_a_kill_it_goes_on_where_it_was_flushed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.delivery.start()
    eventually(lambda: bench.file.load() == bench.log.position(100))
    bench.stop()
    bench.log.grow(20)
    bench.file.save(bench.log.position(80))  # as if the last writes had been killed before it was kept
    bench.again()
    eventually(lambda: bench.delivery.record == 120)
    bench.stop()
    assert bench.transport.taken == [*range(10, 100), *range(80, 120)]
    assert bench.file.load() == bench.log.position(120)


def test_what_a_failed_flush_may_have_lost_is_sent_again(bench: Bench) -> None:
    bench.transport.loses.set()
    bench.delivery.start()
    eventually(lambda: bench.file.load() == bench.log.position(100))
    assert set(bench.transport.taken) == set(range(10, 100))
    assert bench.transport.taken.count(10) == 2
    assert bench.status.error.endswith("Input/output error")


def test_at_the_end_everything_goes_out(bench: Bench) -> None:
    bench.transport.at_once = 5
    bench.delivery.start()
    bench.stop()
    assert bench.transport.taken == list(range(10, 100))
    assert bench.file.load() == bench.log.position(100)
    assert bench.transport.flushed == 90


def test_a_backlog_is_skipped_and_reported(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_backlog=40)
    bench.delivery.start()
    eventually(lambda: bench.delivery.record == 100)
    bench.stop()
    assert bench.dropped == [("s", 10, 79)]
    assert bench.transport.taken == list(range(80, 100))
    assert bench.status.dropped == 70
    assert bench.failures == []


def test_nothing_is_skipped_that_cannot_be_reported(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_backlog=40)

    def refuse(name: str, first: int, last: int) -> None:
        raise AuditUnavailable("the audit log cannot be written")

    bench.report_dropped = refuse  # type: ignore[method-assign]
    bench.again()
    eventually(lambda: bench.status.errors)
    bench.stop()
    assert (bench.delivery.record, bench.transport.taken, bench.status.dropped) == (10, [], 0)


def test_a_log_that_was_rolled_back_is_told(bench: Bench) -> None:
    del bench.log.lines[50:]
    bench.log.write()
    (bench.log.directory / "audit-00000003.jsonl").unlink()
    bench.log.durable = 50
    bench.file.save(Position(90, "ab" * 32))
    bench.again()
    eventually(lambda: bench.delivery.fault)
    assert bench.delivery.fault == "record 89 was delivered, the log has 50: it was rolled back"
    eventually(lambda: bench.status.errors > 2)
    assert bench.failures == [1], "counted once"
    assert bench.transport.taken == []


def test_a_log_that_was_rewritten_is_told(bench: Bench) -> None:
    bench.file.save(Position(20, "ab" * 32))
    bench.again()
    eventually(lambda: bench.delivery.fault)
    assert "record 20 is due here, and does not continue the chain" in bench.delivery.fault
    assert (bench.failures, bench.transport.taken) == ([1], [])


def test_archived_segments_are_no_tampering(bench: Bench) -> None:
    (bench.log.directory / "audit-00000001.jsonl").rename(bench.log.directory / "archived")
    bench.delivery.start()
    eventually(lambda: bench.delivery.fault)
    assert bench.delivery.fault == "record 10 is in an archived segment: bring it back"
    (bench.log.directory / "archived").rename(bench.log.directory / "audit-00000001.jsonl")
    eventually(lambda: bench.delivery.record == 100)
    assert bench.failures == []


def test_a_sink_without_position_does_not_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (tmp_path / "sinks" / "s.json").unlink()
    with pytest.raises(IntegrityError, match="the audit sink s has no position"):
        bench.make()


@given(st.integers(1, 10_000), st.floats(0.1, 300))
def test_pauses_grow_and_are_bounded(failures: int, longest: float) -> None:
    pause = backoff_seconds(failures, longest)
    whole = min(longest, 0.1 * 2 ** min(failures - 1, 30))
    assert whole / 2 <= pause <= whole


@given(st.text())
def test_a_fault_is_one_short_line_and_not_the_peers_words(text: str) -> None:
    assert fault_text(http.client.BadStatusLine(text)) == "not an HTTP answer: BadStatusLine"
    shown = fault_text(OSError(text))
    assert len(shown) <= 200
    assert shown.isprintable() or not shown
    assert fault_text(TimeoutError(text)) == "timed out"
