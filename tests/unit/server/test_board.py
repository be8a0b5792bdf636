"""The page that tells which processes run."""

from __future__ import annotations

import os

import pytest

from ronkms.server.board import ADMIN_ROW, ProcessBoard, Stage


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
