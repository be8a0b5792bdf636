"""The page that tells which processes run."""

from __future__ import annotations

import os

import pytest

from ronkms.policy.external.answer import Answer
from ronkms.policy.external.breaker import BreakerState
from ronkms.policy.external.decision_point import Fault
from ronkms.policy.external.probe import Probe
from ronkms.policy.external.question import Question
from ronkms.server.board import ADMIN_ROW, ProcessBoard, Stage
from ronkms.server.external_policy_health import ExternalPolicyHealth


def test_rows_are_given_out_and_taken_back() -> None:
    board = ProcessBoard(2)
    rows = []
    for pid in (11, 12):
        row = board.free_row()
        board.set(row, pid, Stage.BOOTING)
        rows.append(row)
    assert rows == [1, 2]
    with pytest.raises(ValueError, match="taken"):
        board.free_row()
    board.clear(1)
    assert (board.free_row(), board.pids()) == (1, [12])


def test_ready_is_the_admin_process_word_until_the_drain() -> None:
    board = ProcessBoard(1)
    board.set(1, 11, Stage.BOOTING)
    assert (board.serving_workers, board.ready) == (0, False)
    board.advance(1, Stage.SERVING)
    board.set(ADMIN_ROW, 10, Stage.SERVING)
    assert (board.serving_workers, board.ready) == (1, False)
    board.advance(ADMIN_ROW, Stage.READY)
    assert board.ready
    board.drain()
    assert (board.draining, board.ready) == (True, False)


def test_a_child_writes_what_its_parent_reads() -> None:
    board = ProcessBoard(1)
    child = os.fork()
    if child == 0:
        board.set(1, os.getpid(), Stage.SERVING)
        os._exit(0)
    os.waitpid(child, 0)
    assert (board.pids(), board.serving_workers, board.arbiter) == ([child], 1, os.getpid())


def test_breakers_of_the_workers_that_serve() -> None:
    board = ProcessBoard(2)
    for row in (1, 2):
        board.set(row, 10 + row, Stage.SERVING)
        board.show_external_policy(row, BreakerState.CLOSED, 0, 0)
    board.show_external_policy(2, BreakerState.OPEN, Fault.TIMEOUT.number, 1_800_000_000)
    health = ExternalPolicyHealth(Probe(_never, failures=1, closed=()), board)
    assert health.workers() == [
        (1, BreakerState.CLOSED, None, 0),
        (2, BreakerState.OPEN, Fault.TIMEOUT, 1_800_000_000),
    ]
    assert health.breakers() == {"closed": 1, "half_open": 0, "open": 1}
    board.clear(2)
    assert health.breakers() == {"closed": 1, "half_open": 0, "open": 0}
    board.set(2, 13, Stage.SERVING)
    assert health.workers()[1] == (2, BreakerState.CLOSED, None, 0)


def _never(question: Question, corr_id: str) -> Answer:
    raise AssertionError(question, corr_id)
