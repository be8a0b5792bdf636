"""Heavy signing while the server is killed, or while the disk of the audit log is full.

Every answered operation is in the log, what could not be logged was refused, and the log verifies. ``long``
is the whole proof.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.e2e.support.audit_records import read_records
from tests.e2e.support.audit_truth import check_answers, check_log, check_outcomes, check_store
from tests.e2e.support.audited_load import Answered, AuditedLoad, by_kind, make_keys
from tests.e2e.support.flood import gauges
from tests.e2e.support.key_load import random_delay
from tests.eventually import eventually
from tests.integration.small_disk import mounted
from tests.server_process import ServerProcess

ENVIRONMENT = {"KMS_WORKERS": "2", "KMS_AUDIT_SEGMENT_BYTES": "262144"}
KILLS, MANY_KILLS = 4, 60
FILLINGS, MANY_FILLINGS = 2, 15
DISK, BALLAST = "8m", 6 << 20
KINDS = ("sign", "sign batch", "verify", "verify batch", "wrap", "unwrap", "create", "rotate", "state")
REFUSED_KINDS = ("sign", "sign batch", "verify", "wrap", "create")
"""What the load asks for while all is refused: the others need an answer first."""


def killed_again_and_again(directory: Path, rounds: int) -> Counter[str]:
    """What was answered over ``rounds`` kills."""
    server = ServerProcess(directory, env=ENVIRONMENT)
    answers: list[Answered] = []
    try:
        server.start()
        answers += make_keys(server)
        for number in range(rounds):
            load = AuditedLoad(server, f"r{number}")
            load.start()
            time.sleep(random_delay(0.4, 1.0))
            os.killpg(server.pid, signal.SIGKILL)
            answers += load.stop()
            server.kill()
            server.start()
            records = read_records(server.data_dir)
            check_answers(answers, records)
            check_outcomes(records)
            check_store(server, records)
            check_log(server)
        assert server.stop() == 0
    finally:
        server.kill()
    return by_kind(answers)


def filled_again_and_again(directory: Path, rounds: int) -> Counter[str]:
    """What was answered while the disk of the log filled up and got room again ``rounds`` times."""
    directory.mkdir(mode=0o700)
    with mounted(directory / "audit", DISK) as disk:
        ballast = disk / "ballast"
        server = ServerProcess(directory, env=ENVIRONMENT)
        try:
            server.start()
            answers = make_keys(server)
            load = AuditedLoad(server, "full")
            load.start()
            for _ in range(rounds):
                wait_for_answers(load, [f"{kind}: ok" for kind in KINDS])
                fill(ballast)
                wait_for_answers(load, [f"{kind}: audit_unavailable" for kind in REFUSED_KINDS])
                assert httpx.get(f"{server.admin_url}/healthz").status_code == 200
                eventually(lambda: "audit: the log cannot be written" in not_ready(server))
                ballast.unlink()
                eventually(lambda: not not_ready(server))
            wait_for_answers(load, [f"{kind}: ok" for kind in KINDS])
            answers += load.stop()
            check_answers(answers, read_records(directory))
            assert gauges(server)["kms_audit_integrity_failed_total"] == 0
            assert server.stop() == 0
            server.start()
            records = read_records(directory)
            check_answers(answers, records)
            check_outcomes(records)
            check_store(server, records)
            check_log(server)
            assert server.stop() == 0
        finally:
            server.kill()
    return by_kind(answers)


def fill(ballast: Path) -> None:
    """Takes all the room there is."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            return


def wait_for_answers(load: AuditedLoad, kinds: list[str]) -> None:
    """Each of ``kinds`` (``by_kind``) has come again."""
    before = by_kind(load.answers())
    eventually(lambda: all((by_kind(load.answers()) - before)[kind] for kind in kinds))


def not_ready(server: ServerProcess) -> list[str]:
    missing: list[str] = httpx.get(f"{server.admin_url}/readyz").json()["missing"]
    return missing


@pytest.mark.timeout(180)
def test_what_was_answered_before_a_kill_is_in_the_log(tmp_path: Path) -> None:
    answered = killed_again_and_again(tmp_path / "data", KILLS)
    print(dict(answered))
    assert all(answered[f"{kind}: ok"] for kind in KINDS)


@pytest.mark.timeout(180)
def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    print(dict(filled_again_and_again(tmp_path / "data", FILLINGS)))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_many_kills(tmp_path: Path) -> None:
    answered = killed_again_and_again(tmp_path / "data", MANY_KILLS)
    print(f"{sum(answered.values())} answers over {MANY_KILLS} kills, all in the log")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_many_fillings(tmp_path: Path) -> None:
    answered = filled_again_and_again(tmp_path / "data", MANY_FILLINGS)
    refused = sum(number for kind, number in answered.items() if kind.endswith(": audit_unavailable"))
    print(f"{sum(answered.values()) - refused} answers over {MANY_FILLINGS} full disks, all in the log")
    print(f"{refused} refusals, none in the log")
