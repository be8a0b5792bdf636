"""Limits on delegation and constraints of minted tokens, with ``ronctl`` and through the real port."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from biscuit_auth import BlockBuilder

from ronkms import client
from ronkms.capability.attenuate import read_token
from ronkms.errors import BadRequest
from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.audit_records import read_records
from tests.server_process import ServerProcess

MESSAGE = b"pay 5 to alice"
BODY = {"key_id": "delegated-eu", "message": base64.b64encode(MESSAGE).decode()}
MINT = ["cap", "mint", "--tenant", "default", "--op", "sign", "--op", "read", "--key", "*"]


@pytest.fixture(scope="module", autouse=True)
def _keys(api: ApiClient) -> Iterator[None]:
    for key_id, alg in (
        ("delegated-eu", "Ed25519"),
        ("delegated-us", "Ed25519"),
        ("delegated-p-eu", "ES256"),
    ):
        api.ok("/v1/kms/keys", {"key_id": key_id, "alg": alg, "usage": "sign"})
    yield


def mint(server: ServerProcess, *options: str, ttl: str = "1h") -> str:
    return server.ronctl(*MINT, "--ttl", ttl, *options).stdout.strip()


def attenuate(server: ServerProcess, token: str, *options: str) -> str:
    return server.ronctl("cap", "attenuate", token, *options).stdout.strip()


def sign(server: ServerProcess, token: str, **changed: str) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.post(f"{server.api_url}/v1/kms/sign", json=BODY | changed, headers=headers, timeout=30)
    return answer.status_code, answer.json()


def test_a_chain_ends_where_the_mint_said(server: ServerProcess) -> None:
    token = mint(server, "--max-delegations", "2")
    once = attenuate(server, token, "--op", "sign")
    twice = attenuate(server, once, "--key", "delegated-*")
    for each in (token, once, twice):
        for _ in range(3):  # the engine has learnt it at the third
            assert sign(server, each)[0] == 200
    shown = server.ronctl("cap", "inspect", twice).stdout
    assert "delegated  2 of at most 2 times" in shown
    refused = server.ronctl("cap", "attenuate", twice, "--op", "sign", check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "may be passed on 2 times" in refused.stderr
    forged = read_token(twice).append(BlockBuilder('delegations(0); check if operation("sign")')).to_base64()
    plain = read_token(twice).append(BlockBuilder('check if operation("sign")')).to_base64()
    for over, cause in (
        (forged, "check 2 of block 0 failed"),
        (plain, "check 2 of block 0 (delegations) failed"),
    ):
        for _ in range(3):
            status, problem = sign(server, over)
            assert (status, problem["code"]) == (403, "denied")
            assert "delegations" not in str(problem)
        records = [
            record for record in read_records(server.data_dir) if record["corr_id"] == problem["corr_id"]
        ]
        assert [record["detail"] for record in records] == [cause]


def test_python_narrows_as_ronctl_does(server: ServerProcess) -> None:
    token = client.attenuate(
        mint(server), operations=["sign"], keys=["delegated-*eu"], messages=[MESSAGE], max_delegations=0
    )
    for _ in range(3):
        assert sign(server, token)[0] == 200
        assert sign(server, token, key_id="delegated-us")[0] == 403
        assert sign(server, token, message="AAAA")[0] == 403
    with pytest.raises(BadRequest):
        client.attenuate(token, operations=["sign"])


def test_zero_forbids_and_a_holder_may_forbid(server: ServerProcess) -> None:
    sealed = mint(server, "--max-delegations", "0")
    assert sign(server, sealed)[0] == 200
    assert server.ronctl("cap", "attenuate", sealed, "--op", "sign", check=False).returncode == 1
    last = attenuate(server, mint(server), "--op", "sign", "--max-delegations", "0")
    assert sign(server, last)[0] == 200
    assert server.ronctl("cap", "attenuate", last, "--op", "sign", check=False).returncode == 1


@pytest.mark.parametrize("where", ["mint", "attenuate"])
def test_constraints_hold_wherever_they_were_set(server: ServerProcess, tmp_path: Path, where: str) -> None:
    file = tmp_path / "message"
    file.write_bytes(MESSAGE)
    hour = timedelta(hours=1)
    now = datetime.now(UTC).replace(microsecond=0)
    constraints = [
        *("--alg", "Ed25519", "--message-file", str(file), "--digest", hashlib.sha256(b"other").hexdigest()),
        *("--not-before", (now - hour).isoformat(), "--deadline", (now + hour).isoformat()),
    ]
    token = mint(server, *constraints) if where == "mint" else attenuate(server, mint(server), *constraints)
    token = attenuate(server, token, "--key", "delegated-*eu")
    other = base64.b64encode(b"other").decode()
    for _ in range(3):
        assert sign(server, token)[0] == sign(server, token, message=other)[0] == 200
        assert sign(server, token, message=base64.b64encode(b"pay 500 to mallory").decode())[0] == 403
        assert sign(server, token, key_id="delegated-us")[0] == 403
        assert sign(server, token, key_id="delegated-p-eu")[0] == 403


@pytest.mark.parametrize("where", ["mint", "attenuate"])
def test_a_token_is_good_from_its_time(server: ServerProcess, where: str) -> None:
    later = ["--not-before", (datetime.now(UTC) + timedelta(minutes=5)).isoformat()]
    token = mint(server, *later) if where == "mint" else attenuate(server, mint(server), *later)
    assert sign(server, token)[0] == 403


@pytest.mark.parametrize(
    "options",
    [
        ["--deadline", "2020-01-01T00:00:00Z"],
        ["--deadline", "tomorrow"],
        ["--not-before", "2999-01-01T00:00:00Z"],
        ["--max-delegations", "16"],
        ["--max-delegations", "-1"],
        ["--digest", "abc"],
        ["--alg", "none"],
    ],
)
def test_what_makes_no_sense_is_refused(server: ServerProcess, options: list[str]) -> None:
    refused = server.ronctl(*MINT, "--ttl", "1h", *options, check=False)
    assert refused.returncode in (1, 2)
    assert refused.stdout == ""
    assert "Traceback" not in refused.stderr
    assert server.ronctl(*MINT, check=False).returncode == 1, "neither --ttl nor --deadline"
