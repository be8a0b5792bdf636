"""Audit sinks under faults of this machine: full disks, killed and stopped processes, files taken away."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.eventually import eventually
from tests.integration.sink_server import (
    GO_ON,
    KILL,
    STOP,
    Peer,
    SinkServer,
    assert_at_least_once,
    message_number,
    number_of,
    running,
)
from tests.server_process import free_port

KILLS = 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"needs the right to mount a small disk: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_stops_one_sink_alone_and_leaves_no_half_lines(tmp_path: Path, small_disk: Path) -> None:
    full, other = small_disk / "full.jsonl", tmp_path / "other.jsonl"
    sinks = [
        {"name": "full", "target": f"file:{full}", "backoff_max_ms": 200},
        {"name": "other", "target": f"file:{other}"},
    ]
    with SinkServer(tmp_path, *sinks) as server:  # type: ignore[arg-type]
        server.sign_many(40)
        assert server.is_up("full")
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"b" * (1 << 15))
        server.sign_many(60)
        eventually(lambda: "No space left" in server.sinks()["full"]["last_error"], "not noticed")
        assert not server.is_up("full")
        server.sign_many(20)
        eventually(lambda: server.sinks()["other"]["lag"] == 0, "the other one stands still")
        assert full.read_bytes().endswith(b"}\n"), "no part of a line is left"
        os.truncate(full, 0)  # as copytruncate would
        ballast.unlink()
        eventually(lambda: server.is_up("full"), "its return is not noticed")
        eventually(lambda: server.sinks()["full"]["lag"] == 0, "it does not catch up")
    assert other.read_bytes().splitlines() == server.log()
    kept = full.read_bytes().splitlines()
    assert kept == server.log()[-len(kept) :]


def test_files_that_are_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink: dict[str, str | int] = {"name": "f", "target": f"file:{path}", "backoff_max_ms": 100}
    with SinkServer(tmp_path, sink) as server:
        server.sign_many(5)
        eventually(lambda: server.sinks()["f"]["lag"] == 0, "nothing arrives")
        path.rename(tmp_path / "out.1")
        took = eventually(path.exists, "logrotate is not noticed")
        print(f"renamed: a new file after {took:.2f} s, without records")
        assert server.events() == [], "a rotation is no failure"
        path.unlink()
        took = eventually(lambda: len(server.events()) == 1, "the deletion is not reported")
        print(f"deleted: reported after {took:.2f} s, without records")
        eventually(lambda: len(server.events()) == 2, "its return is not reported")
        assert [event for event, _ in server.events()] == ["BackendDown", "BackendUp"]
        assert path.exists()
        path.chmod(0o400)
        eventually(lambda: not server.is_up("f"), "read-only is not noticed")
        assert "read-only" in server.sinks()["f"]["reason"]
        path.chmod(0o600)
        eventually(lambda: server.is_up("f"), "its return is not noticed")
        server.sign_many(5)
        server.process.ronctl("audit", "sinks", "test", "f")
    assert any("audit_sink_file_reopened" in line for line in server.process.stderr)
    kept = path.read_bytes().splitlines()
    assert kept == server.log()[-len(kept) :]


def test_the_primary_log_that_is_deleted_is_noticed_without_requests(tmp_path: Path) -> None:
    with SinkServer(tmp_path, {"name": "f", "target": f"file:{tmp_path / 'out.jsonl'}"}) as server:
        server.sign_many(3)
        url = f"{server.process.admin_url}/readyz"
        eventually(lambda: httpx.get(url).status_code == 200, "never ready")
        (server.process.data_dir / "audit" / "audit-00000001.jsonl").unlink()
        took = eventually(lambda: httpx.get(url).status_code == 503, "not noticed")
        print(f"noticed after {took:.2f} s, without requests")
        assert "audit: the log cannot be written" in httpx.get(url).json()["missing"]
        assert server.sign() == 503


def test_killed_feeders_lose_no_record(tmp_path: Path) -> None:
    port, messages, path = free_port(), tmp_path / "messages", tmp_path / "out.jsonl"
    sinks: list[dict[str, str | int]] = [
        {"name": "needed", "target": f"file:{path}", "policy": "required", "max_delay_ms": 5000},
        {"name": "syslog", "target": f"tcp://127.0.0.1:{port}"},
    ]
    statuses: list[int] = []
    stop = threading.Event()
    with running(Peer("sink_syslog.py", "tcp", str(port), str(messages))):
        with SinkServer(tmp_path, *sinks) as server:

            def load() -> None:
                while not stop.is_set():
                    statuses.append(server.sign())

            signer = threading.Thread(target=load)
            signer.start()
            try:
                for _ in range(KILLS):
                    time.sleep(0.7)
                    victim = server.feeder()
                    os.kill(victim, KILL)
                    eventually(lambda victim=victim: server.feeder() not in (0, victim), "no successor")  # type: ignore[misc]
            finally:
                stop.set()
                signer.join()
            for name in ("needed", "syslog"):
                eventually(lambda name=name: server.is_up(name), "not up")  # type: ignore[misc]
                server.process.ronctl("audit", "sinks", "test", name)
            assert server.metric("service_crashed_total") == KILLS
        log = server.log()
        numbers = [number_of(line) for line in path.read_bytes().splitlines()]
        duplicates = len(numbers) - len(set(numbers))
        print(
            f"{len(statuses)} requests, {statuses.count(503)} refused, {KILLS} kills, {duplicates} came twice"
        )
        assert set(statuses) <= {200, 503}
        assert_at_least_once(numbers, log, duplicates=KILLS * 1500)
        assert set(path.read_bytes().splitlines()) == set(log)
        arrived = [message_number(message) for message in messages.read_bytes().splitlines()]
        assert_at_least_once(arrived, log, duplicates=KILLS * 2500)


def test_a_stopped_feeder_stops_operations_by_itself(tmp_path: Path) -> None:
    sink: dict[str, str | int] = {"name": "f", "target": f"file:{tmp_path / 'out'}", "policy": "required"}
    with SinkServer(tmp_path, sink) as server:
        server.sign_many(10)
        feeder = server.feeder()
        os.kill(feeder, STOP)
        try:
            took = eventually(lambda: server.sign() == 503, "never refused")
            print(f"refused {took:.2f} s after the feeder was stopped")
            ready = httpx.get(f"{server.process.admin_url}/readyz")
            eventually(
                lambda: (
                    "audit sinks: their process does not run"
                    in httpx.get(f"{server.process.admin_url}/readyz").json()["missing"]
                ),
                f"not told: {ready.text}",
            )
        finally:
            os.kill(feeder, GO_ON)
        eventually(lambda: server.sign() == 200, "never served again")


def test_a_stuck_best_effort_sink_costs_the_others_nothing_and_skips_aloud(tmp_path: Path) -> None:
    port, messages, path = free_port(), tmp_path / "messages", tmp_path / "out.jsonl"
    mode, collected = tmp_path / "mode", tmp_path / "collected"
    mode.write_text("ok")
    sinks: list[dict[str, str | int]] = [
        {"name": "stuck", "target": f"http://127.0.0.1:{port}/", "max_backlog": 200, "backoff_max_ms": 300},
        {"name": "needed", "target": f"file:{path}", "policy": "required"},
    ]
    collector = Peer("sink_collector.py", str(port), str(collected), str(mode))
    with running(collector), SinkServer(tmp_path, *sinks) as server:
        rates = {True: 0.0, False: 0.0}
        for stuck in (False, True, False, True):
            mode.write_text("hang" if stuck else "ok")
            rates[stuck] = max(rates[stuck], server.sign_many(300))
            if stuck:
                eventually(lambda: not server.is_up("stuck"), "not noticed")
                assert server.is_up("needed")
        print(f"one client: {rates[False]:.0f} signs/s with all sinks well, {rates[True]:.0f} with one stuck")
        server.sign_many(100)
        mode.write_text("ok")
        eventually(lambda: server.sinks()["stuck"]["lag"] == 0, "it does not catch up")
        dropped = server.sinks()["stuck"]["dropped"]
        assert dropped > 0
        assert server.metric("kms_audit_sink_dropped_total", "stuck") == dropped
        server.process.ronctl("audit", "sinks", "test", "stuck")
    assert not messages.exists()
    log = server.log()
    assert path.read_bytes().splitlines() == log
    told = [line for line in log if b'"code":"audit_sink_dropped"' in line]
    assert told
    assert all(b"sink stuck skipped records" in line for line in told)
    body = collected.read_text()
    assert all(f'\\"seq\\":{number_of(line)},' in body for line in told), "the sink is told what it lacks"
    server.process.ronctl("audit", "verify")
