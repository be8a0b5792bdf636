"""The trail over the real native log."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from ronkms_native import Arena, AuditLog, AuditWriteError

from ronkms.audit.digest_keys import KeyedDigest
from ronkms.audit.log import AuditLogTrail
from ronkms.audit.verify import Anchor, verify_directory
from ronkms.domain.measure import ALGS, COUNTERS, GAUGES, GENERATIONS, OPS, OUTCOMES
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import AuditUnavailable


class Digests:
    """Of one epoch."""

    def digest(self, data: bytes) -> KeyedDigest:
        return KeyedDigest(3, hmac.digest(b"k" * 32, data, hashlib.sha256).hex())

    def after_fork(self) -> None:
        """Nothing to reopen."""


@pytest.fixture
def arena() -> Arena:
    return Arena(
        cache_entries=64,
        cache_ttl_ms=1000,
        inflight_sign=8,
        inflight_verify=8,
        tenant_share_min=0.05,
        slots=2,
        tenants=64,
        ops=list(OPS),
        algs=list(ALGS),
        outcomes=list(OUTCOMES),
        counters=list(COUNTERS),
        gauges=list(GAUGES),
        generations=list(GENERATIONS),
    )


@pytest.fixture
def log(arena: Arena, tmp_path: Path) -> Iterator[AuditLog]:
    opened = AuditLog.open(arena, str(tmp_path), 4096)
    arena.enter_slot(arena.claim_slot())
    yield opened


def records(directory: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted(directory.glob("*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]


def sign_record(trail: AuditLogTrail, **fields: Any) -> int:
    given = {
        "op": Operation.SIGN,
        "outcome": Outcome.OK,
        "tenant": "acme",
        "token_id": "ab" * 16,
        "corr_id": "c-1",
    }
    return trail.record(**{**given, **fields})


def test_writes_what_happened(log: AuditLog, tmp_path: Path) -> None:
    counted: list[int] = []
    trail = AuditLogTrail(log, digests=Digests(), count=lambda: counted.append(1))
    trail.after_fork()
    digest = trail.input_digest(b"message")
    assert sign_record(trail, key_id="orders-1", key_version=3, alg="Ed25519", digest=digest) == 0
    assert sign_record(trail, outcome=Outcome.DENIED, code="denied", detail="no right matches", items=7) == 1
    first, second = records(tmp_path)
    assert first == {
        "seq": 0,
        "prev": "0" * 64,
        "time": first["time"],
        "v": 1,
        "op": "sign",
        "outcome": "ok",
        "tenant": "acme",
        "token": "ab" * 16,
        "corr_id": "c-1",
        "key_id": "orders-1",
        "key_version": 3,
        "alg": "Ed25519",
        "digest": digest.value,
        "dk": 3,
    }
    assert (second["code"], second["detail"], second["items"]) == ("denied", "no right matches", 7)
    assert len(counted) == 2
    assert trail.writable()


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "\x00\n\r\x1b[31m", '","outcome":"ok"}\n{', "\ud800", "é\U0001f600"]
)
def test_hostile_text_stays_in_its_field(log: AuditLog, tmp_path: Path, text: str) -> None:
    trail = AuditLogTrail(log, digests=Digests())
    trail.after_fork()
    sign_record(trail, key_id=text, corr_id=text, detail=text, outcome=Outcome.DENIED)
    sign_record(trail)
    first = records(tmp_path)[0]
    assert (first["outcome"], first["op"]) == ("denied", "sign")
    assert len(first["key_id"]) <= 128
    assert len(first["detail"]) <= 256
    assert verify_directory(tmp_path).good


@pytest.mark.parametrize(
    ("operation", "sync_all", "waits"),
    [
        (Operation.SIGN, False, False),
        (Operation.SIGN, True, True),
        (Operation.UNWRAP, False, True),
        (Operation.ROTATE, False, True),
        (Operation.ADMIN, False, True),
        (Operation.VERIFY, False, False),
    ],
)
def test_waits_for_the_disk(operation: Operation, sync_all: bool, waits: bool) -> None:
    recording = RecordingLog()
    trail = AuditLogTrail(recording, digests=Digests(), sync_all=sync_all)  # type: ignore[arg-type]
    sign_record(trail, op=operation)
    assert recording.waited == ([0] if waits else [])


class RecordingLog:
    """Stands in for a log whose disk can fail."""

    def __init__(self, fail: str = "") -> None:
        self.waited: list[int] = []
        self._fail = fail

    def append(self, body: bytes, *, anyway: bool = False) -> int:
        if self._fail == "append":
            raise AuditWriteError("/secret/path: no space left on device")
        return 0

    def wait_durable(self, seq: int) -> None:
        self.waited.append(seq)
        if self._fail == "sync":
            raise AuditWriteError("input/output error")


@pytest.mark.parametrize("fail", ["append", "sync"])
def test_an_unwritable_log_refuses(fail: str) -> None:
    counted: list[int] = []
    trail = AuditLogTrail(RecordingLog(fail), digests=Digests(), count=lambda: counted.append(1))  # type: ignore[arg-type]
    with pytest.raises(AuditUnavailable) as caught:
        sign_record(trail, op=Operation.ROTATE)
    assert "/secret" not in str(caught.value)
    assert "nothing is done" in str(caught.value)
    with pytest.raises(AuditUnavailable, match="may be in force"):
        sign_record(trail, op=Operation.ROTATE, phase="outcome")
    assert counted == []


def test_the_native_log_verifies_across_segments_and_against_its_head(log: AuditLog, tmp_path: Path) -> None:
    trail = AuditLogTrail(log, digests=Digests())
    trail.after_fork()
    for number in range(120):
        sign_record(
            trail, key_id=f"orders-{number}", op=Operation.ROTATE if number % 40 == 0 else Operation.SIGN
        )
    anchor = Anchor(*trail.head)
    report = verify_directory(tmp_path, anchor=anchor)
    assert (report.good, report.records, report.leaf) == (True, 120, anchor.leaf)
    assert report.segments > 3
    newest = sorted(tmp_path.glob("*.jsonl"))[-1]
    newest.write_bytes(b"".join(newest.read_bytes().splitlines(keepends=True)[:-1]))
    assert verify_directory(tmp_path).good
    assert not verify_directory(tmp_path, anchor=anchor).good


def test_operations_need_the_sinks_and_outcomes_do_not(log: AuditLog, tmp_path: Path) -> None:
    trail = AuditLogTrail(log, digests=Digests())
    trail.check_sinks()
    trail.require_sinks()
    for refused in (trail.check_sinks, lambda: sign_record(trail)):
        with pytest.raises(AuditUnavailable, match="ronctl audit sinks"):
            refused()
    assert sign_record(trail, phase="outcome") == 0, "what was begun is recorded"
    log.grant_lease(60_000)
    trail.check_sinks()
    assert sign_record(trail) == 1
    log.grant_lease(0)
    with pytest.raises(AuditUnavailable):
        sign_record(trail)
    assert len(records(tmp_path)) == 2


class FailingLog:
    """As the native log; refuses records while ``full``."""

    def __init__(self) -> None:
        self.full = False
        self.bodies: list[dict[str, Any]] = []

    def append(self, body: bytes, *, anyway: bool = False) -> int:
        if self.full:
            raise AuditWriteError("no space")
        self.bodies.append(json.loads(b"{" + body))
        return len(self.bodies) - 1

    def wait_durable(self, seq: int) -> None:
        """At once."""


def test_an_outcome_that_could_not_be_written_comes_before_the_next_record() -> None:
    log = FailingLog()
    trail = AuditLogTrail(cast("AuditLog", log), digests=Digests())

    def record(op: Operation, corr_id: str, phase: str = "", code: str = "") -> int:
        outcome = Outcome.ERROR if code else Outcome.OK
        return trail.record(
            op=op, outcome=outcome, tenant="t", token_id="x", corr_id=corr_id, phase=phase, code=code
        )

    record(Operation.ROTATE, "a", "intent")
    record(Operation.STATE, "b", "intent")
    log.full = True
    for corr_id, op in (("a", Operation.ROTATE), ("b", Operation.STATE)):
        with pytest.raises(AuditUnavailable, match="may be in force"):
            record(op, corr_id, "outcome", code="conflict" if corr_id == "b" else "")
    with pytest.raises(AuditUnavailable, match="nothing is done"):
        record(Operation.SIGN, "c")
    log.full = False
    record(Operation.SIGN, "d")
    record(Operation.SIGN, "e")
    kept = [(one["corr_id"], one.get("phase", ""), one["outcome"]) for one in log.bodies]
    assert kept == [
        ("a", "intent", "ok"),
        ("b", "intent", "ok"),
        ("a", "outcome", "ok"),
        ("b", "outcome", "error"),
        ("d", "", "ok"),
        ("e", "", "ok"),
    ]
    assert {one["pid"] for one in log.bodies if "phase" in one} == {os.getpid()}
