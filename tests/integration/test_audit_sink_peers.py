"""Audit sinks and their peers, all real processes: a collector that fails in every way, syslog servers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.eventually import eventually
from tests.integration.certificates import Authority
from tests.integration.sink_server import (
    SECONDS,
    Peer,
    SinkServer,
    assert_at_least_once,
    message_number,
    number_of,
    running,
)
from tests.server_process import free_port


def collected(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def lines_of(requests: list[dict[str, Any]]) -> list[bytes]:
    return [line for request in requests for line in request["body"].encode().splitlines()]


def test_a_required_collector_that_fails_in_every_way(tmp_path: Path) -> None:
    out, mode, token = tmp_path / "collected", tmp_path / "mode", tmp_path / "token"
    mode.write_text("ok")
    token.write_text("s3cret-token\n")
    port, other = free_port(), tmp_path / "other.jsonl"
    siem: dict[str, str | int] = {
        "name": "siem",
        "target": f"http://127.0.0.1:{port}/in?source=kms",
        "policy": "required",
        "token_file": str(token),
        "batch_records": 20,
        "timeout_ms": 1000,
        "backoff_max_ms": 300,
    }
    collector = Peer("sink_collector.py", str(port), str(out), str(mode))
    with running(collector), SinkServer(tmp_path, siem, {"name": "f", "target": f"file:{other}"}) as server:
        server.sign_many(50)
        for failure in ("hang", "500", "close", "401", "dead"):
            if failure == "dead":
                collector.kill()
            else:
                mode.write_text(failure)
            took = eventually(lambda: server.sign() == 503, f"{failure}: never refused")
            print(f"{failure}: refused after {took:.2f} s")
            print(f"{failure}: slowest /healthz {server.slowest_health(0.5) * 1000:.0f} ms")
            sinks = server.sinks()
            assert sinks["siem"]["holding"]
            assert sinks["siem"]["state"] == "down", sinks
            eventually(lambda: server.sinks()["f"]["lag"] == 0, "the other one stands still")
            assert server.is_up("f")
            mode.write_text("ok")
            if failure == "dead":
                collector.start()
            took = eventually(lambda: server.sign() == 200, f"{failure}: never served again")
            eventually(lambda: server.events()[-1][0] == "BackendUp", f"{failure}: its return is not told")
            print(f"{failure}: served again after {took:.2f} s")
        eventually(lambda: server.sinks()["siem"]["lag"] == 0, "it does not catch up")
        assert "s3cret" not in server.process.output()
        assert server.metric("kms_audit_sink_errors_total", "siem") >= 5
        told = [event for event in server.events() if event[1] == "audit:siem"]
        assert told == 5 * [("BackendDown", "audit:siem"), ("BackendUp", "audit:siem")]
    requests = collected(out)
    assert {request["Authorization"] for request in requests} == {"Bearer s3cret-token"}
    assert {request["path"] for request in requests} == {"/in?source=kms"}
    assert {request["Content-Type"] for request in requests} == {"application/x-ndjson"}
    for request in requests:
        lines = lines_of([request])
        assert request["Ron-Kms-Records"] == f"{number_of(lines[0])}-{number_of(lines[-1])}"
        assert len(lines) <= 20
    lines = lines_of(requests)
    assert_at_least_once([number_of(line) for line in lines], server.log(), duplicates=0)
    assert lines == server.log()
    assert other.read_bytes().splitlines() == server.log()


@pytest.mark.parametrize("kind", ["tcp", "tls", "unix", "udp"])
def test_a_syslog_server_that_goes_and_comes_back(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "messages"
    address = str(tmp_path / "log.sock") if kind == "unix" else str(free_port())
    target = f"unix:{address}" if kind == "unix" else f"{kind}://127.0.0.1:{address}"
    sink: dict[str, str | int] = {"name": "s", "target": target, "backoff_max_ms": 300}
    more: list[str] = []
    if kind == "tls":
        authority = Authority(tmp_path / "certificates")
        pair = authority.issue("syslog")
        sink["ca_file"], more = str(authority.cert), [str(pair.cert), str(pair.key)]
    if kind in ("tcp", "tls"):
        sink["policy"] = "required"
    peer = Peer("sink_syslog.py", kind, address, str(out), *more)
    with running(peer):
        if kind in ("unix", "udp"):
            eventually(lambda: kind != "unix" or Path(address).exists(), "it does not listen")
        with SinkServer(tmp_path, sink) as server:
            server.sign_many(30)
            eventually(lambda: server.sinks()["s"]["lag"] == 0, "nothing arrives")
            peer.kill()
            if kind != "udp":
                took = eventually(lambda: not server.is_up("s"), "its end is not noticed")
                print(f"{kind}: noticed after {took:.2f} s, without records")
            peer.start()
            eventually(lambda: server.is_up("s"), "its return is not noticed")
            eventually(lambda: server.sign() == 200, "not served again")
            server.sign_many(30)
            server.process.ronctl("audit", "sinks", "test", "s")
    messages = out.read_bytes().splitlines()
    log = {number_of(line): line for line in server.log()}
    for message in messages:
        assert re.match(rb"<1[0-9]{2}>1 [0-9T:.-]+Z \S+ ron-kms [0-9]+ audit \[ron-kms@32473 ", message)
        assert message.endswith(b'sink="s"] ' + log[message_number(message)])
    numbers = [message_number(message) for message in messages]
    if kind == "udp":
        assert len(set(numbers)) >= 60, "what was sent while nobody listened is lost, as documented"
    else:
        assert_at_least_once(numbers, server.log(), duplicates=1000)


def test_a_stranger_in_the_place_of_the_server_gets_nothing(tmp_path: Path) -> None:
    port, out = str(free_port()), tmp_path / "messages"
    known = Authority(tmp_path / "known")
    stranger = Authority(tmp_path / "stranger").issue("syslog")
    target = f"tls://127.0.0.1:{port}"
    sink: dict[str, str | int] = {"name": "s", "target": target, "ca_file": str(known.cert)}
    peer = Peer("sink_syslog.py", "tls", port, str(out), str(stranger.cert), str(stranger.key))
    with running(peer), SinkServer(tmp_path, sink) as server:
        server.sign_many(5)
        eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in server.sinks()["s"]["last_error"], "no error")
        assert not server.is_up("s")
    assert out.read_bytes() == b""


RSYSLOG = """
module(load="imtcp")
module(load="imuxsock" SysSock.Use="off")
input(type="imtcp" port="{port}" address="127.0.0.1" ruleset="kms")
input(type="imuxsock" Socket="{socket}" ruleset="kms"
  useSpecialParser="off" parseHostname="on" RateLimit.Interval="0")
template(name="kms" type="string"
  string="%pri-text% %app-name% %msgid% %structured-data% %msg%\n")
ruleset(name="kms") {{ action(type="omfile" file="{out}" template="kms") }}
global(workDirectory="{work}" maxMessageSize="64k")
"""


def test_rsyslog_understands_what_it_gets(tmp_path: Path) -> None:
    program = shutil.which("rsyslogd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("needs rsyslogd")
    port, socket_path, out = free_port(), tmp_path / "log.sock", tmp_path / "messages"
    (tmp_path / "work").mkdir()
    configuration = tmp_path / "rsyslog.conf"
    configuration.write_text(RSYSLOG.format(port=port, socket=socket_path, out=out, work=tmp_path / "work"))
    daemon = subprocess.Popen(
        [program, "-n", "-f", str(configuration), "-i", str(tmp_path / "pid")], stderr=subprocess.PIPE
    )
    try:
        eventually(lambda: socket_path.exists() or daemon.poll() is not None, "it does not start")
        assert daemon.poll() is None, daemon.stderr and daemon.stderr.read()
        sinks: list[dict[str, str | int]] = [
            {"name": "tcp", "target": f"tcp://127.0.0.1:{port}", "policy": "required"},
            {"name": "unix", "target": f"unix:{socket_path}", "facility": "local5", "format": "cef"},
        ]
        with SinkServer(tmp_path, *sinks) as server:
            server.sign_many(40)
            for name in ("tcp", "unix"):
                server.process.ronctl("audit", "sinks", "test", name)
        log = server.log()

        def of_sink(name: str) -> list[str]:
            marked = f'sink="{name}"]'
            return [line for line in out.read_text().splitlines() if marked in line]

        for name in ("tcp", "unix"):
            eventually(lambda name=name: len(of_sink(name)) >= len(log), f"{name}: not all arrive")  # type: ignore[misc]
        for shown, line in zip(of_sink("tcp"), log, strict=True):
            number = number_of(line)
            head, _, message = shown.partition("] ")
            assert re.fullmatch(
                r"\S+\.(info|warning) ron-kms audit \[ron-kms@32473 " rf'record="{number}" sink="tcp"', head
            )
            assert message.strip() == line.decode()
        for shown in of_sink("unix"):
            assert re.match(r"local5\.\w+ ron-kms audit \[ron-kms@32473 .*\] +CEF:0\|ron-kms\|", shown)
    finally:
        daemon.terminate()
        daemon.wait(SECONDS)
        if daemon.stderr is not None:
            daemon.stderr.close()
