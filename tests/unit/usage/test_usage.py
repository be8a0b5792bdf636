"""Last uses: what the log says, through the file, over rolls, restarts, damage, and up to the last record."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ronkms.domain.key_use import UseName, Uses
from ronkms.errors import BackendUnavailable, IntegrityError
from ronkms.usage import reader as reader_module
from ronkms.usage.database import KEPT_USERS, UsageDatabase
from ronkms.usage.log_uses import LogUses
from ronkms.usage.reader import LoggedUsage
from ronkms.usage.recorder import UsageRecorder

START = 1_795_574_053


def time_text(seconds: int) -> str:
    """``seconds`` after START, less than a minute, as the log writes it."""
    return f"2026-11-25T02:34:{13 + seconds:02}.999999Z"


class Log:
    """An audit log and the file of last uses beside it."""

    def __init__(self, directory: Path) -> None:
        self.audit = directory / "audit"
        self.audit.mkdir()
        self.path = directory / "usage.db"
        self.segment = 1
        self._seq = 0
        self.recorder = UsageRecorder(self.path, self.audit)
        self.reader = LoggedUsage(self.path, self.audit)

    def append(self, *, at: int = 0, **fields: Any) -> None:
        record = {"seq": self._seq, "prev": "0" * 64, "time": time_text(at), "v": 1, "op": "sign"}
        record |= {"outcome": "ok", "tenant": "acme", "token": "t1", "corr_id": "c"} | fields
        self._seq += 1
        with (self.audit / f"audit-{self.segment:08}.jsonl").open("ab") as file:
            file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")

    def restart(self) -> None:
        self.recorder.close()
        self.recorder = UsageRecorder(self.path, self.audit)

    def totals(self, key_id: str = "k", tenant: str = "acme") -> dict[UseName, Uses]:
        return self.reader.of(tenant, key_id).totals


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def test_a_use_is_known_before_and_after_it_is_carried_over(log: Log) -> None:
    log.append(at=1, key_id="k", key_version=2)
    log.append(at=3, key_id="k", key_version=2, token="t2")
    expected = {UseName(2, "sign", False): Uses(first=START + 1, last=START + 3, token="t2", count=2)}
    assert log.totals() == expected
    log.recorder.turn()
    assert log.totals() == expected
    log.append(at=4, key_id="k", key_version=2, op="verify", outcome="invalid")
    assert log.totals()[UseName(2, "verify", False)].last == START + 4
    assert log.reader.of("acme", "k").since == START + 1
    assert {token for _, token in log.reader.of("acme", "k").users} == {"t1", "t2"}


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": "denied", "code": "denied"},
        {"outcome": "rejected", "code": "bad_request"},
        {"outcome": "error", "code": "backend_unavailable"},
        {"op": "read"},
        {"op": "rotate", "phase": "outcome"},
        {"tenant": "other"},
        {"key_id": "kk"},
        {"key_id": "", "op": "verify"},
    ],
)
def test_what_is_no_use_of_the_key(log: Log, fields: dict[str, Any]) -> None:
    log.append(**{"key_id": "k", "key_version": 1} | fields)
    assert log.totals() == {}
    log.recorder.turn()
    assert log.totals() == {}


def test_an_attempt_on_a_disabled_key_is_told_apart(log: Log) -> None:
    log.append(key_id="k", outcome="rejected", code="key_disabled")
    assert list(log.totals()) == [UseName(0, "sign", True)]


def test_items_of_a_batch_count_each(log: Log) -> None:
    log.append(key_id="k", key_version=1, items=7)
    log.append(items=5, keys={"k/1": 2, "k.2/1": 1, "k/3": 1})
    for _ in range(2):
        assert {name.version: uses.count for name, uses in log.totals().items()} == {1: 9, 3: 1}
        assert {name.version: uses.count for name, uses in log.totals("k.2").items()} == {1: 1}
        log.recorder.turn()


def test_segments_follow_each_other(log: Log) -> None:
    log.append(key_id="k", key_version=1)
    log.recorder.turn()
    log.segment = 2
    log.append(key_id="k", key_version=1)
    log.segment = 3
    log.append(key_id="k", key_version=1)
    assert log.totals()[UseName(1, "sign", False)].count == 3
    log.recorder.turn()
    (log.audit / "audit-00000001.jsonl").unlink()
    log.restart()
    log.recorder.turn()
    assert log.totals()[UseName(1, "sign", False)].count == 3


@pytest.mark.parametrize("restarted", [False, True])
def test_segments_archived_unread_are_a_gap_that_shows(log: Log, restarted: bool) -> None:
    log.append(key_id="k", key_version=1)
    log.recorder.turn()
    log.segment = 2
    log.append(key_id="k", key_version=1)
    log.segment = 3
    log.append(at=9, key_id="other", key_version=1)
    for number in (1, 2):
        (log.audit / f"audit-{number:08}.jsonl").unlink()
    if restarted:
        log.restart()
    log.recorder.turn()
    assert log.reader.of("acme", "k").since == START + 9


def test_a_line_that_is_being_written_waits(log: Log) -> None:
    log.append(key_id="k", key_version=1)
    with (log.audit / "audit-00000001.jsonl").open("ab") as file:
        file.write(b'{"seq":1,"prev":"')
        file.flush()
        assert log.totals()[UseName(1, "sign", False)].count == 1
        log.recorder.turn()
    assert log.totals()[UseName(1, "sign", False)].count == 1


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""], ids=["damaged", "empty"])
def test_a_damaged_file_is_made_anew(log: Log, content: bytes) -> None:
    log.append(key_id="k", key_version=1)
    log.path.write_bytes(content)
    for _ in range(2):
        log.recorder.turn()
    assert log.totals()[UseName(1, "sign", False)].count == 1


def test_a_file_of_a_later_format_is_made_anew(log: Log) -> None:
    log.append(key_id="k", key_version=1)
    database = UsageDatabase(log.path)
    database._connection.execute("UPDATE place SET format = 2, segment = 7")
    database.close()
    for _ in range(2):
        log.recorder.turn()
    assert log.totals()[UseName(1, "sign", False)].count == 1


def test_a_reader_does_not_guess(log: Log) -> None:
    log.append(key_id="k", key_version=1)
    log.path.write_bytes(b"no database at all" * 100)
    with pytest.raises(BackendUnavailable):
        log.reader.of("acme", "k")


def test_a_log_too_long_to_read_on_the_way_is_not_waited_for(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "MAX_TAIL", 1000)
    log.append(key_id="k", key_version=1)
    assert log.reader.of("acme", "k").complete is True
    for _ in range(10):
        log.append(key_id="k", key_version=1)
    assert log.reader.of("acme", "k").complete is False
    log.recorder.turn()
    assert log.reader.of("acme", "k").complete is True


def test_what_is_no_audit_log_is_not_passed_over(log: Log) -> None:
    (log.audit / "audit-00000001.jsonl").write_bytes(b"{}\n")
    with pytest.raises(IntegrityError):
        log.recorder.turn()
    with pytest.raises(BackendUnavailable):
        log.reader.of("acme", "k}")
    assert log.path.exists()


def test_only_the_latest_tokens_are_kept(log: Log) -> None:
    for number in range(40):
        log.append(at=number, key_id="k", key_version=1, token=f"t{number}")
        if number % 7 == 0:
            log.recorder.turn()
    log.recorder.turn()
    usage = log.reader.of("acme", "k")
    assert {token for _, token in usage.users} == {f"t{number}" for number in range(40 - KEPT_USERS, 40)}
    assert usage.totals[UseName(1, "sign", False)] == Uses(
        first=START, last=START + 39, token="t39", count=40
    )


Step = Callable[[Log], None]
USES = st.fixed_dictionaries(
    {
        "key_id": st.sampled_from(["a", "b"]),
        "key_version": st.integers(1, 2),
        "op": st.sampled_from(["sign", "verify", "read"]),
        "token": st.sampled_from(["t1", "t2"]),
        "items": st.sampled_from([0, 3]),
    }
)


@given(steps=st.lists(USES | st.sampled_from(["turn", "restart", "roll", "lose"]), max_size=30))
@settings(max_examples=40, deadline=None)
def test_counts_are_those_of_the_log(steps: list[dict[str, Any] | str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        log = Log(Path(name))
        model: dict[tuple[str, UseName], int] = {}
        for step in steps:
            match step:
                case "turn":
                    log.recorder.turn()
                case "restart":
                    log.restart()
                case "roll":
                    log.segment += 1
                    log.append(op="read")
                case "lose":
                    log.recorder.close()
                    for path in log.path.parent.glob("usage.db*"):
                        path.unlink()
                    log.restart()
                case dict():
                    log.append(**step)
                    if step["op"] != "read":
                        use = step["key_id"], UseName(step["key_version"], step["op"], False)
                        model[use] = model.get(use, 0) + (step["items"] or 1)
        found = {
            (key_id, use): uses.count for key_id in ("a", "b") for use, uses in log.totals(key_id).items()
        }
        log.recorder.close()
        assert found == model


LINES = st.fixed_dictionaries(
    {
        "at": st.integers(0, 2),
        "corr_id": st.sampled_from(["c", "", 'a","digest":"', '"', "\\", "x" * 64]),
        "key_id": st.sampled_from(["a", "b", ""]),
        "key_version": st.integers(1, 2),
        "op": st.sampled_from(["sign", "verify", "read"]),
        "outcome": st.sampled_from(["ok", "rejected"]),
        "token": st.sampled_from(["t1", 't2","corr_id":"', '{"time":"']),
        "code": st.sampled_from(["", "key_disabled"]),
    },
    optional={
        "digest": st.sampled_from(["0" * 64, "1" * 64, "", '"']),
        "items": st.integers(1, 3),
        "keys": st.just({"a/1": 2, "b/7": 1}),
    },
)


@given(st.lists(LINES, max_size=30))
def test_many_lines_are_summed_up_as_one_by_one(records: list[dict[str, Any]]) -> None:
    lines = []
    for seq, fields in enumerate(records):
        more = dict(fields)
        head = {"seq": seq, "prev": "0" * 64, "time": time_text(more.pop("at")), "v": 1}
        ordered = {name: more.pop(name) for name in ("op", "outcome")} | {"tenant": "acme"}
        lines.append(json.dumps(head | ordered | more, separators=(",", ":")).encode() + b"\n")
    together, one_by_one = LogUses(), LogUses()
    together.take(b"".join(lines))
    for line in lines:
        one_by_one.take_line(line)
    assert list(together.by_user.items()) == list(one_by_one.by_user.items())
    assert together.since == one_by_one.since
