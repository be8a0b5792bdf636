"""What was acknowledged before a SIGKILL is there after the restart, signs, verifies, and is in the log."""

from __future__ import annotations

import base64
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.audit_records import done, read_records
from tests.e2e.support.key_load import MESSAGE, Acknowledged, KeyLoad, random_delay
from tests.e2e.support.process_tree import listening_on
from tests.e2e.support.signature_check import verifies
from tests.server_process import ServerProcess

SHORT_ROUNDS = 15
LONG_ROUNDS = 200
LOAD_SECONDS = (0.05, 0.7)
KEYS_A_DIRECTORY = 20
"""Rounds on one data directory, so that a round's check stays short and old keys are still looked at."""


def _check_everything(server: ServerProcess, acknowledged: Acknowledged) -> None:
    """Every key and version is there; each version verifies what it signed; the newest signs anew."""
    assert not acknowledged.unexpected, acknowledged.unexpected[:5]
    api = ApiClient(server.api_url, server.token)
    message = base64.b64encode(MESSAGE).decode()
    try:
        listed = _listed(api)
        for key_id, newest in acknowledged.versions.items():
            assert listed[key_id]["state"] == "enabled"
            assert "damaged" not in listed[key_id]
            # A version whose acknowledgement the kill cut off may be there as well.
            assert newest <= listed[key_id]["key_version"] <= newest + 1, (key_id, newest)
        sent = list(acknowledged.signatures.items())
        answers = api.batch(
            "/v1/kms/verify",
            [
                {
                    "key_id": key_id,
                    "key_version": version,
                    "message": message,
                    "signature": base64.b64encode(signature).decode(),
                }
                for (key_id, version), signature in sent
            ],
        )
        for (name, _), answer in zip(sent, answers, strict=True):
            assert answer["status"] == 200, (name, answer)
            assert answer["result"]["valid"] is True, name
        key_ids = list(acknowledged.versions)
        fresh = api.batch("/v1/kms/sign", [{"key_id": key_id, "message": message} for key_id in key_ids])
        published = {(jwk["key_id"], jwk["key_version"]): jwk for jwk in _jwks(api)}
        for key_id, answer in zip(key_ids, fresh, strict=True):
            assert answer["status"] == 200, (key_id, answer)
            result = answer["result"]
            assert result["key_version"] == listed[key_id]["key_version"]
            jwk = published[key_id, result["key_version"]]
            assert verifies(jwk, MESSAGE, base64.b64decode(result["signature"])), key_id
        for (key_id, version), signature in sent:
            assert verifies(published[key_id, version], MESSAGE, signature), (key_id, version)
    finally:
        api.close()


def _listed(api: ApiClient) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    after = ""
    while True:
        page = api.get(f"/v1/kms/keys?limit=1000&after={after}" if after else "/v1/kms/keys?limit=1000").body
        found |= {summary["key_id"]: summary for summary in page["keys"]}
        if "next" not in page:
            return found
        after = page["next"]


def _jwks(api: ApiClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = api.get(f"/v1/kms/jwks?limit=1000&after={after}" if after else "/v1/kms/jwks?limit=1000").body
        found += page["keys"]
        if "next" not in page:
            return found
        after = page["next"]


def _check_old_versions_sign(server: ServerProcess, acknowledged: Acknowledged) -> None:
    """With the newer versions disabled each older one signs: its private half has survived too."""
    api = ApiClient(server.api_url, server.token)
    message = base64.b64encode(MESSAGE).decode()
    try:
        chosen = [key_id for key_id, newest in acknowledged.versions.items() if newest > 1][-6:]
        for key_id in chosen:
            for version in range(_listed(api)[key_id]["key_version"], 1, -1):
                api.ok(f"/v1/kms/keys/{key_id}/disable", {"key_version": version})
                signed = api.ok("/v1/kms/sign", {"key_id": key_id, "message": message})
                assert signed["key_version"] == version - 1
                jwk = api.get(f"/v1/kms/keys/{key_id}/public?key_version={version - 1}").body
                assert verifies(jwk, MESSAGE, base64.b64decode(signed["signature"]))
    finally:
        api.close()


def _check_audit(server: ServerProcess, acknowledged: Acknowledged) -> None:
    """The log verifies offline and has a record of every acknowledged operation."""
    server.ronctl("audit", "verify", str(server.data_dir / "audit"))
    records = read_records(server.data_dir)
    assert [record["seq"] for record in records] == list(
        range(records[0]["seq"], len(records) + records[0]["seq"])
    )
    made = done(records, "create") | done(records, "rotate")
    missing = acknowledged.made() - made
    assert not missing, sorted(missing)[:10]
    unsigned = set(acknowledged.signatures) - done(records, "sign")
    assert not unsigned, sorted(unsigned)[:10]


def _nothing_reported(server: ServerProcess) -> None:
    log = server.output()
    assert "Traceback" not in log
    for word in ("damaged", "IntegrityError"):
        assert word not in log, [line for line in log.splitlines() if word in line][:5]


def _rounds(directory: Path, rounds: int) -> Acknowledged:
    """Kills the whole server once a round, and checks all that was ever acknowledged."""
    server = ServerProcess(directory)
    everything = Acknowledged()
    server.start()
    try:
        for number in range(rounds):
            load = KeyLoad(server.api_url, server.token, prefix=f"r{number}")
            load.start()
            time.sleep(random_delay(*LOAD_SECONDS))
            os.killpg(server.pid, signal.SIGKILL)
            new = load.stop()
            server.kill()
            _nothing_reported(server)
            server.start()
            _check_everything(server, new)
            everything.update(new)
            if number == rounds - 1:
                _check_everything(server, everything)
                _check_old_versions_sign(server, new if len(new.versions) > 3 else everything)
            server.ronctl("audit", "verify", str(server.data_dir / "audit"))
        assert server.stop() == 0
        _nothing_reported(server)
        _check_audit(server, everything)
    finally:
        server.kill()
    return everything


@pytest.mark.timeout(180)
def test_acknowledged_keys_survive_kills(tmp_path: Path) -> None:
    survived = _rounds(tmp_path / "data", SHORT_ROUNDS)
    print(f"{len(survived.versions)} keys, {len(survived.made())} versions over {SHORT_ROUNDS} kills")
    assert len(survived.made()) > SHORT_ROUNDS


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_acknowledged_keys_survive_200_kills(tmp_path: Path) -> None:
    made = 0
    for start in range(0, LONG_ROUNDS, KEYS_A_DIRECTORY):
        survived = _rounds(tmp_path / f"data-{start}", KEYS_A_DIRECTORY)
        made += len(survived.made())
    print(f"{made} versions over {LONG_ROUNDS} kills")
    assert made > LONG_ROUNDS


@pytest.mark.timeout(120)
def test_workers_killed_one_by_one_lose_nothing(tmp_path: Path) -> None:
    """The arbiter starts them again; callers see broken connections, and nothing else."""
    kills = 0
    with ServerProcess(tmp_path / "data", env={"KMS_WORKERS": "3"}) as server:
        load = KeyLoad(server.api_url, server.token, prefix="w", threads=6)
        load.start()
        while kills < 20:
            time.sleep(random_delay(0.02, 0.25))
            workers = _workers(server)
            if workers:
                os.kill(workers[kills % len(workers)], signal.SIGKILL)
                kills += 1
        time.sleep(0.5)
        acknowledged = load.stop()
        assert len(acknowledged.made()) > 10
        _check_everything(server, acknowledged)
        assert "Traceback" not in server.output()
    _check_audit(server, acknowledged)


def _workers(server: ServerProcess) -> list[int]:
    """Children that listen on the port of the API."""
    port = int(server.api_url.rsplit(":", 1)[1])
    found = []
    for pid in server.children():
        try:
            if listening_on(pid, port):
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
