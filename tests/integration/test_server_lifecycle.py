"""Start, readiness, drain, deaths and restarts of a real server."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.integration.raw_http import RawConnection
from tests.server_process import NotReadyError, ServerProcess

KEY = json.dumps({"key_id": "slow", "alg": "Ed25519", "usage": "sign"}).encode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "data", {"KMS_WORKERS": "2"}) as running:
        yield running


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _metric(server: ServerProcess, name: str) -> float:
    _, text = _get(f"{server.admin_url}/metrics")
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


def _in_flight(server: ServerProcess) -> bool:
    """A worker has read the head of a request."""
    return any(_metric(server, f'kms_inflight{{op="{op}"}}') for op in ("sign", "verify"))


def _refuses(server: ServerProcess) -> bool:
    try:
        RawConnection(server.api_url).close()
    except ConnectionRefusedError:
        return True
    return False


def _events(server: ServerProcess) -> list[str]:
    lines = (server.data_dir / "bus" / "kms.jsonl").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


def test_ready_health_metrics(server: ServerProcess) -> None:
    assert "service=ron-kms ready=1" in server.stderr
    assert _get(f"{server.admin_url}/healthz")[0] == 200
    assert _get(f"{server.admin_url}/readyz") == (200, '{"ready":true,"missing":[]}\n')
    assert _metric(server, "kms_ready") == 1
    assert _metric(server, "kms_workers") == 2
    assert 0 < _metric(server, "kms_rss_bytes") < 512 << 20
    assert _get(f"{server.admin_url}/v1/kms/keys")[0] == 404
    assert "Health" in _events(server)


def test_first_call_is_printed_for_the_one_who_tries_it(server: ServerProcess) -> None:
    eventually(lambda: any("/v1/kms/sign" in line for line in server.stdout))
    text = "\n".join(server.stdout)
    assert '-d \'{"key_id":"first","alg":"Ed25519","usage":"sign"}\'' in text
    assert "$(cat data/capability/admin.token)" in text
    assert server.token not in server.output()


def test_answers_name_the_service_alone(server: ServerProcess) -> None:
    with RawConnection(server.api_url) as connection:
        reply = connection.request("GET", "/v1/kms/keys", server.token)
    assert reply.status == 200
    assert reply.headers["server"] == "ron-kms"
    assert reply.headers["connection"] == "keep-alive"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_drain_finishes_what_is_in_flight(tmp_path: Path, number: int) -> None:
    server = ServerProcess(tmp_path / "data", {"KMS_WORKERS": "2"}).start()
    token = server.token
    with RawConnection(server.api_url) as slow, RawConnection(server.api_url) as idle:
        assert idle.request("GET", "/v1/kms/keys", token).status == 200
        slow.send_head("POST", "/v1/kms/keys", token, len(KEY)).send(KEY[:10])
        eventually(lambda: _in_flight(server))
        server.signal(number)
        eventually(lambda: _get(f"{server.admin_url}/readyz")[0] == 503)
        assert json.loads(_get(f"{server.admin_url}/readyz")[1])["missing"] == ["draining"]
        assert _get(f"{server.admin_url}/healthz")[0] == 200
        eventually(lambda: _refuses(server))
        reply = slow.send(KEY[10:]).reply()
        assert (reply.status, reply.headers["connection"]) == (201, "close")
        assert idle.closed_by_server()
    assert server.wait() == 0
    assert _events(server)[-1] == "Shutdown"
    assert _metric_free(server)


def _metric_free(server: ServerProcess) -> bool:
    return not any("ServiceCrashed" in line for line in server.stderr)


def test_second_signal_quits_at_once(tmp_path: Path) -> None:
    env = {"KMS_WORKERS": "2", "KMS_DRAIN_TIMEOUT_MS": "600000", "KMS_REQUEST_TIMEOUT_MS": "600000"}
    server = ServerProcess(tmp_path / "data", env).start()
    with RawConnection(server.api_url) as stuck:
        stuck.send_head("POST", "/v1/kms/keys", server.token, len(KEY))
        eventually(lambda: _in_flight(server))
        server.signal(signal.SIGTERM)
        eventually(lambda: _get(f"{server.admin_url}/readyz")[0] == 503)
        assert not server.pid_gone()
        server.signal(signal.SIGTERM)
        server.wait(60)
        with pytest.raises(ConnectionError):
            stuck.reply()


def test_drain_ends_at_its_timeout(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", {"KMS_DRAIN_TIMEOUT_MS": "1000"}).start()
    with RawConnection(server.api_url) as stuck:
        stuck.send_head("POST", "/v1/kms/keys", server.token, len(KEY))
        eventually(lambda: _in_flight(server))
        began = time.monotonic()
        server.stop(60)
        assert time.monotonic() - began > 0.9


def test_a_signal_to_all_processes_by_name_ends_none(server: ServerProcess) -> None:
    children = server.children()
    for number in (
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
        signal.SIGTTIN,
        signal.SIGTTOU,
    ):
        for child in (server.pid, *children):
            os.kill(child, number)
        with RawConnection(server.api_url) as connection:
            for _ in range(10):
                assert connection.request("GET", "/v1/kms/keys", server.token).status == 200
        assert server.children() == children
    assert _metric(server, "service_crashed_total") == 0


def test_a_killed_worker_is_replaced_and_counted(server: ServerProcess) -> None:
    admin, *workers = server.children()
    for count, worker in enumerate(workers, start=1):
        os.kill(worker, signal.SIGKILL)
        eventually(lambda count=count: _metric(server, "service_crashed_total") == count)  # type: ignore[misc]
        eventually(lambda: _get(f"{server.admin_url}/readyz")[0] == 200)
    assert admin in server.children()
    assert not set(workers) & set(server.children())
    assert _events(server).count("ServiceCrashed") == 2
    with RawConnection(server.api_url) as connection:
        assert connection.request("GET", "/v1/kms/keys", server.token).status == 200


def test_a_killed_admin_process_is_replaced_and_counted(server: ServerProcess) -> None:
    admin, *workers = server.children()
    os.kill(admin, signal.SIGKILL)
    eventually(lambda: admin not in server.children() and len(server.children()) == 3)
    eventually(lambda: _get(f"{server.admin_url}/readyz")[0] == 200)
    assert _metric(server, "service_crashed_total") == 1
    assert set(workers) < set(server.children())
    assert server.stderr.count("service=ron-kms ready=1") == 1


def test_nothing_outlives_the_arbiter(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data").start()
    children = server.children()
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
    with server:
        assert _get(f"{server.admin_url}/readyz")[0] == 200


def test_ignored_signals_change_nothing(server: ServerProcess) -> None:
    children = server.children()
    for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2):
        server.signal(number)
    eventually(lambda: sum("signal_ignored" in line for line in server.stderr) == 4)
    assert server.children() == children


def test_a_setting_without_effect_is_warned_of(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", {"KMS_PKCS11_MODULE": "/usr/lib/pkcs11.so"}) as server:
        warnings = [line for line in server.stderr if "setting_without_effect" in line]
        assert len(warnings) == 1
        assert "setting=pkcs11_module" in warnings[0]


def test_json_logs(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", {"KMS_LOG_FORMAT": "json"}) as server:
        assert {"service": "ron-kms", "ready": 1} in [json.loads(line) for line in server.stderr]


# --- refused starts --------------------------------------------------------------------------------


def _refused(server: ServerProcess, status: int = 1) -> str:
    with pytest.raises(NotReadyError):
        server.start()
    assert server.process is not None
    assert server.process.returncode == status
    errors = [line for line in server.stderr if line.startswith("error: ")]
    assert len(errors) == 1
    assert "Traceback" not in server.output()
    return errors[0]


def test_second_server_on_one_directory(server: ServerProcess) -> None:
    message = _refused(ServerProcess(server.data_dir))
    assert f"{server.data_dir}/keystore is in use by the server with pid {server.pid}" in message
    with RawConnection(server.api_url) as connection:
        assert connection.request("GET", "/v1/kms/keys", server.token).status == 200


@pytest.mark.parametrize("setting", ["api_addr", "metrics_addr"])
def test_taken_port(server: ServerProcess, tmp_path: Path, setting: str) -> None:
    taken = (server.api_url if setting == "api_addr" else server.admin_url).removeprefix("http://")
    other = ServerProcess(tmp_path / "other", {f"KMS_{setting.upper()}": taken})
    assert f"{setting}: cannot listen on {taken}: Address already in use" in _refused(other)


def test_directory_open_to_others(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    message = _refused(ServerProcess(tmp_path / "data"))
    assert f"data_dir: {tmp_path}/data is open to others; run chmod 700" in message


def test_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "data_dir: cannot use" in _refused(
        ServerProcess(tmp_path / "data", {"KMS_DATA_DIR": str(tmp_path / "file" / "data")})
    )


def test_missing_seal_beside_keys(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        pass
    (tmp_path / "data" / "keystore" / "seal").unlink()
    assert "seal: " in (message := _refused(server))
    assert "is missing beside existing keys" in message
    assert not (tmp_path / "data" / "keystore" / "seal").exists()


def test_another_seal(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data"):
        pass
    secret = tmp_path / "key"
    secret.write_bytes(os.urandom(32))
    secret.chmod(0o600)
    other = ServerProcess(
        tmp_path / "data", {"KMS_SEAL": "keyfile", "KMS_SEAL_KEYFILE": str(secret)}, args=()
    )
    assert _refused(other).startswith("error: seal: ")


def test_wrong_configuration(tmp_path: Path) -> None:
    message = _refused(ServerProcess(tmp_path / "data", {"KMS_WORKERS": "-1"}), status=2)
    assert message == "error: KMS_WORKERS must be a whole number from 0 to 256"
    assert not (tmp_path / "data").exists()
