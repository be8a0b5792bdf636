"""The ledger of intents without outcome, over real files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronkms.audit.intents import MAX_UNKNOWN_SEGMENTS, POSITION_FILE, IntentLedger


class LogWriter:
    """Appends records as the native log lays them out; the chain is not looked at here."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seq = 0
        self.segment = 1

    def append(self, **fields: Any) -> None:
        record = {"seq": self._seq, "prev": "0" * 64, "time": "", "v": 1, "outcome": "ok"}
        record |= {"op": "rotate", "tenant": "acme", "token": "t"} | fields
        self._seq += 1
        with self.path.open("ab") as file:
            file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")

    @property
    def path(self) -> Path:
        return self._directory / f"audit-{self.segment:08d}.jsonl"


@pytest.fixture
def log(tmp_path: Path) -> LogWriter:
    return LogWriter(tmp_path)


def open_ids(ledger: IntentLedger) -> list[str]:
    ledger.read_on()
    return [intent.corr_id for intent in ledger.open]


def test_an_intent_is_open_until_its_outcome(tmp_path: Path, log: LogWriter) -> None:
    ledger = IntentLedger(tmp_path)
    log.append(corr_id="a", phase="intent")
    log.append(corr_id="b", phase="intent", detail='"phase":"intent"')
    log.append(corr_id="sign", detail='no "phase":"intent" of its own')
    assert open_ids(ledger) == ["a", "b"]
    log.segment = 2
    log.append(corr_id="a", phase="outcome", outcome="rejected")
    assert open_ids(ledger) == ["b"]
    assert ledger.done == []
    log.append(corr_id="b", phase="outcome", key_version=2)
    assert open_ids(ledger) == []
    assert [outcome.key_version for outcome in ledger.done] == [2]


def test_equal_requests_each_need_an_outcome(tmp_path: Path, log: LogWriter) -> None:
    ledger = IntentLedger(tmp_path)
    for phase in ("intent", "intent", "outcome"):
        log.append(corr_id="a", phase=phase)
    assert open_ids(ledger) == ["a"]


def test_an_unfinished_line_is_read_when_it_is_whole(tmp_path: Path, log: LogWriter) -> None:
    log.append(corr_id="a", phase="intent")
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-1])
    ledger = IntentLedger(tmp_path)
    assert open_ids(ledger) == []
    log.path.write_bytes(whole)
    assert open_ids(ledger) == ["a"]


def test_the_saved_position_is_before_every_open_intent(tmp_path: Path, log: LogWriter) -> None:
    ledger = IntentLedger(tmp_path)
    log.append(corr_id="a", phase="intent")
    for number in range(5):
        log.append(corr_id=f"{number}", phase="intent")
        log.append(corr_id=f"{number}", phase="outcome")
        ledger.follow()
    assert open_ids(IntentLedger(tmp_path)) == ["a"]
    assert len(ledger.done) == 5
    log.append(corr_id="a", phase="outcome")
    ledger.follow()
    ledger.follow()
    assert ledger.done == []
    log.append(corr_id="last", phase="intent")
    later = IntentLedger(tmp_path)
    assert open_ids(later) == ["last"]
    later.settle()
    assert open_ids(later) == open_ids(IntentLedger(tmp_path)) == []


def test_what_the_round_before_read_is_kept(tmp_path: Path, log: LogWriter) -> None:
    ledger = IntentLedger(tmp_path)
    ledger.follow()
    log.append(corr_id="a", phase="intent")
    log.append(corr_id="a", phase="outcome")
    ledger.follow()
    restarted = IntentLedger(tmp_path)
    restarted.read_on()
    assert [outcome.corr_id for outcome in restarted.done] == ["a"]


@pytest.mark.parametrize(
    "saved", [b"", b"{}", b"junk", b'{"segment":1,"offset":99999999}', b'{"segment":7,"offset":0}']
)
def test_without_a_good_position_more_is_read(tmp_path: Path, log: LogWriter, saved: bytes) -> None:
    for number in range(1, MAX_UNKNOWN_SEGMENTS + 3):
        if number == 7:
            continue
        log.segment = number
        log.append(corr_id=f"{number}", phase="intent")
    (tmp_path / POSITION_FILE).write_bytes(saved)
    assert open_ids(IntentLedger(tmp_path)) == ["2", "3", "4", "5", "6", "8", "9", "10"]


@given(
    steps=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["intent", "outcome", "roll", "follow"]))
    )
)
def test_a_ledger_that_saved_finds_what_a_full_reading_finds(
    steps: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("log")
    log = LogWriter(directory)
    log.path.touch()
    following = IntentLedger(directory)
    following.follow()
    expected: list[str] = []
    for name, step in steps:
        if step == "roll":
            log.segment += 1
            log.path.touch()
        elif step == "follow":
            following.follow()
        else:
            log.append(corr_id=name, phase=step)
            if step == "intent":
                expected.append(name)
            elif name in expected:
                del expected[len(expected) - 1 - expected[::-1].index(name)]
    assert open_ids(following) == open_ids(IntentLedger(directory)) == expected
