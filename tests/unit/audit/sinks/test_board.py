"""The page that tells how the sinks stand."""

from __future__ import annotations

import os

from ronkms.audit.sinks.board import TEXT_BYTES, SinkBoard, State, missing_sinks
from ronkms.domain.audit_sink import AuditSink

SINKS = (
    AuditSink(name="a", target="file:/a", policy="required"),
    AuditSink(name="b", target="file:/b"),
)


def make_board() -> SinkBoard:
    return SinkBoard([sink.name for sink in SINKS])


def test_a_child_writes_what_its_parent_reads() -> None:
    board = make_board()
    pid = os.fork()
    if not pid:
        first, second = board.rows
        first.show(State.UP, holding=False, record=5, reason="")
        second.show(State.DOWN, holding=True, record=3, reason="gone")
        first.delivered(4)
        first.delivered(1)
        second.dropped(2)
        second.cut()
        second.failed("ü" * 500)
        second.failed("timed out")
        board.beat(os.getpid())
        os._exit(0)
    os.waitpid(pid, 0)
    assert board.feeder == pid
    one, other = board.read()
    assert one._replace(since=0) == ("a", State.UP, False, "", 5, 0, 5, 0, 0, 0, "")
    assert other._replace(since=0) == ("b", State.DOWN, True, "gone", 3, 0, 0, 2, 2, 1, "timed out")
    assert min(one.since, other.since) > 1_600_000_000


def test_a_text_stays_in_its_row() -> None:
    board = make_board()
    first, second = board.rows
    second.failed("mine")
    first.failed("ü" * 500)
    first.show(State.DOWN, holding=False, record=0, reason="x" * 1000)
    one, other = board.read()
    assert one.error == "ü" * (TEXT_BYTES // 2)
    assert one.reason == "x" * TEXT_BYTES
    assert (other.error, other.reason) == ("mine", "")


def test_nothing_is_up_without_a_feeder() -> None:
    board = make_board()
    board.rows[0].show(State.UP, holding=False, record=0, reason="")
    assert board.feeder == 0
    assert board.read()[0].state == State.DOWN
    assert missing_sinks(SINKS, board) == ["audit sinks: their process does not run"]
    board.beat(1)
    assert board.read()[0].state == State.UP
    assert missing_sinks(SINKS, board) == []
    for row in board.rows:
        row.show(State.DOWN, holding=True, record=0, reason="no route")
    assert missing_sinks(SINKS, board) == ["audit sink a: no route"], "the other is not required"
