"""When ``/readyz`` is 200, and what it says otherwise."""

from __future__ import annotations

import time

import pytest

from ronkms.server.board import ADMIN_ROW, ProcessBoard, Stage
from ronkms.server.readiness import STALE_SECONDS, Readiness


class Parts:
    """What the service finds missing, and what was told."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.told: list[list[str]] = []
        self.board = ProcessBoard(1)
        self.board.set(ADMIN_ROW, 10, Stage.BOOTING)
        self.readiness = Readiness(lambda: list(self.found), self.board, on_change=self.told.append)


@pytest.fixture
def parts() -> Parts:
    made = Parts()
    made.board.set(1, 11, Stage.SERVING)
    return made


def test_not_ready_before_the_first_evaluation(parts: Parts) -> None:
    assert parts.readiness.missing() == ["readiness was not evaluated yet"]
    assert not parts.board.ready


def test_ready(parts: Parts) -> None:
    parts.readiness.evaluate()
    assert (parts.readiness.missing(), parts.board.ready) == ([], True)


def test_every_missing_part_is_named(parts: Parts) -> None:
    parts.found = ["bus: down", "audit: full"]
    parts.readiness.evaluate()
    assert parts.readiness.missing() == ["bus: down", "audit: full"]
    assert not parts.board.ready


def test_workers_that_do_not_serve_are_seen_at_once(parts: Parts) -> None:
    parts.readiness.evaluate()
    parts.board.clear(1)
    assert parts.readiness.missing() == ["workers: 0 of 1 serve"]


def test_a_check_that_hangs_is_seen(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.readiness.evaluate()
    later = time.monotonic() + STALE_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert parts.readiness.missing() == ["readiness: a check hangs"]


def test_changes_are_told_once(parts: Parts) -> None:
    for found in ([], [], ["bus: down"], ["bus: down"], []):
        parts.found = found
        parts.readiness.evaluate()
    assert parts.told == [[], ["bus: down"], []]


def test_draining_is_final(parts: Parts) -> None:
    parts.readiness.evaluate()
    parts.board.drain()
    parts.readiness.evaluate()
    assert (parts.readiness.missing(), parts.board.ready) == (["draining"], False)
