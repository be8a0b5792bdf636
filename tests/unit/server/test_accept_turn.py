"""New connections are left to workers with fewer, as long as those take them."""

from __future__ import annotations

import pytest

from ronkms.server.accept_turn import FORGOTTEN_SECONDS, LEAVE_SECONDS, LOOK_SECONDS, TAKE_SECONDS, AcceptTurn
from ronkms.server.board import ProcessBoard, Stage

ME, OTHER = 1, 2


class Parts:
    def __init__(self) -> None:
        self.board = ProcessBoard(2)
        self.board.set(ME, 11, Stage.SERVING)
        self.board.set(OTHER, 12, Stage.SERVING)
        self.turn = AcceptTurn(self.board)
        self.now = 100.0

    def leaves(self, mine: int, others: int) -> bool:
        self.board.show_load(OTHER, 0, 0, others)
        return self.turn.leaves(ME, mine, self.now)


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.mark.parametrize(
    ("mine", "others", "left"), [(0, 0, False), (1, 0, False), (2, 0, True), (5, 9, False)]
)
def test_one_with_two_more_leaves(parts: Parts, mine: int, others: int, left: bool) -> None:
    assert parts.leaves(mine, others) is left
    assert (parts.turn.look_at > parts.now) is left


def test_without_another_that_serves_it_takes(parts: Parts) -> None:
    for stage in (Stage.BOOTING, Stage.ABSENT):
        parts.board.advance(OTHER, stage)
        assert not parts.leaves(50, 0)


def test_it_goes_on_leaving_while_the_other_takes(parts: Parts) -> None:
    for others in range(20):
        parts.now += LEAVE_SECONDS * 0.9
        assert parts.leaves(50, others)


def test_if_the_other_takes_none_it_takes_for_a_while(parts: Parts) -> None:
    began = parts.now
    while parts.leaves(50, 0):
        parts.now += LOOK_SECONDS
    assert LEAVE_SECONDS <= parts.now - began <= LEAVE_SECONDS + 2 * LOOK_SECONDS
    parts.now += TAKE_SECONDS * 0.9
    assert not parts.leaves(51, 0)
    parts.now += TAKE_SECONDS * 0.2
    assert parts.leaves(52, 0)


def test_a_later_connection_is_another_matter(parts: Parts) -> None:
    assert parts.leaves(50, 0)
    parts.now += FORGOTTEN_SECONDS * 2
    assert parts.leaves(50, 0)
