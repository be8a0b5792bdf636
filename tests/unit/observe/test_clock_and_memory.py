"""Clock steps and resident memory."""

from __future__ import annotations

import os
import time

import pytest

from ronkms.observe.clock import ClockSkew
from ronkms.observe.memory import resident_bytes


def test_a_clock_that_nobody_moves_has_no_skew() -> None:
    assert abs(ClockSkew().seconds()) < 0.05


def test_a_step_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    skew = ClockSkew()
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() - 90)
    assert skew.seconds() == pytest.approx(-90, abs=0.05)


def test_resident_memory_of_this_process() -> None:
    before = resident_bytes([os.getpid()])
    block = bytearray(64 << 20)
    block[::4096] = b"x" * len(block[::4096])
    assert resident_bytes([os.getpid()]) - before > 60 << 20


def test_a_process_that_is_gone_counts_nothing() -> None:
    assert resident_bytes([2**22 + 1]) == 0
