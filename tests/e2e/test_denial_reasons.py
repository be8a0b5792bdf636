"""Why a request was denied: ``ronctl cap explain`` and the answer tell an admin, and nobody else."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from biscuit_auth import BlockBuilder

from ronkms.capability.attenuate import read_token
from ronkms.errors import DENIED
from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.audit_records import read_records
from tests.server_process import ServerProcess

KEY = "explained-1"
MESSAGE = base64.b64encode(b"m").decode()


@pytest.fixture(scope="module", autouse=True)
def _key(api: ApiClient) -> Iterator[None]:
    api.ok("/v1/kms/keys", {"key_id": KEY, "alg": "Ed25519", "usage": "sign"})
    yield


def ask(
    server: ServerProcess, token: str, path: str = "sign", body: Any = None
) -> tuple[int, dict[str, Any]]:
    answer = httpx.post(
        f"{server.api_url}/v1/kms/{path}",
        json={"key_id": KEY, "message": MESSAGE} if body is None else body,
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    return answer.status_code, answer.json()


def attenuate(server: ServerProcess, token: str, *options: str) -> str:
    return server.ronctl("cap", "attenuate", token, *options).stdout.strip()


def explain(server: ServerProcess, token: str, *options: str) -> subprocess.CompletedProcess[str]:
    return server.ronctl("cap", "explain", token, *options, check=False)


@pytest.mark.parametrize(
    ("ops", "key", "told"),
    [
        (["read", "admin"], "*", True),
        (["read", "admin"], KEY, True),
        (["read", "admin"], "others-*", False),
        (["read", "audit", "state"], "*", False),
    ],
)
def test_the_answer_names_the_cause_to_an_admin_alone(
    server: ServerProcess, ops: list[str], key: str, told: bool
) -> None:
    token = server.mint(op=[*ops, "sign"], key=key)
    token = attenuate(server, token, *(f"--op={op}" for op in ops))
    cause = "check 1 of block 1 (operation) failed"
    if key == "others-*":
        cause = "no right for sign covers the key"
    for _ in range(3):
        status, problem = ask(server, token)
        assert (status, problem["code"], problem["detail"]) == (403, "denied", DENIED)
        assert problem.get("reason") == (cause if told else None)
    logged = [record for record in read_records(server.data_dir) if record["corr_id"] == problem["corr_id"]]
    assert [record["detail"] for record in logged] == [cause]


def test_an_attenuation_of_an_admins_token_is_no_admin(server: ServerProcess) -> None:
    everything = server.mint(op=["sign", "read", "admin"])
    narrow = attenuate(server, everything, "--op", "sign", "--key", "others-*")
    status, problem = ask(server, narrow)
    assert (status, "reason" in problem) == (403, False)


def test_items_of_a_batch_name_their_causes(server: ServerProcess) -> None:
    items = {"items": [{"key_id": KEY, "message": MESSAGE}, {"key_id": "others-1", "message": MESSAGE}]}
    for ops in (["sign", "admin"], ["sign"]):
        arguments = ["--tenant", "default", "--ttl", "1h", "--key", KEY]
        for op in ops:
            arguments += ["--op", op]
        token = server.ronctl("cap", "mint", *arguments).stdout.strip()
        answered = ask(server, token, body=items)[1]["items"]
        assert [item["status"] for item in answered] == [200, 403]
        assert "reason" not in answered[1]["error"], "an admin of one key is none of another"
    token = server.mint(op=["admin", "sign"])
    bound = attenuate(server, token, "--digest", "00" * 32, "--op", "sign", "--op", "admin")
    answered = ask(server, bound, body=items)[1]["items"]
    assert [item["status"] for item in answered] == [403, 403]
    assert all("reason" not in item["error"] for item in answered), "its checks do not hold for admin either"


def test_explains_what_the_server_answers(server: ServerProcess) -> None:
    token = attenuate(server, server.mint(op=["sign", "read"]), "--key", KEY, "--op", "sign")
    good = explain(server, token, "--op", "sign", "--key", KEY)
    assert (good.returncode, good.stdout.splitlines()[0]) == (0, "allowed")
    assert "algorithm  Ed25519" in good.stdout
    assert ask(server, token)[0] == 200
    bad = explain(server, token, "--op", "sign", "--key", "other")
    assert bad.returncode == 1
    lines = bad.stdout.splitlines()
    assert lines[0] == "refused with 403 denied: check 2 of block 1 (key) failed"
    assert [line for line in lines if "FAILS" in line] == [
        '  FAILS check if key($key), {"explained-1"}.contains($key);'
    ]
    assert explain(server, token, "--op", "read").stdout.startswith(
        "refused with 403 denied: check 1 of block 1 (operation) failed"
    )
    late = explain(server, token, "--op", "sign", "--key", KEY, "--time", "2999-01-01T00:00:00Z")
    assert late.returncode == 1
    assert late.stdout.startswith("refused with 401 unauthenticated: it ended at ")
    server.ronctl("cap", "revoke", token)
    assert explain(server, token, "--op", "sign", "--key", KEY).stdout == (
        "refused with 401 unauthenticated: block 1 is revoked\n"
    )
    assert token not in str(read_records(server.data_dir))
    asked = [r for r in read_records(server.data_dir) if r.get("detail", "").startswith("cap.explain")]
    assert len(asked) == 5
    assert all(record["outcome"] == "ok" for record in asked)


def test_explains_digests_and_checks_of_a_holders_own(server: ServerProcess) -> None:
    token = attenuate(server, server.mint(op=["sign"]), "--digest", "ab" * 32)
    assert explain(server, token, "--op", "sign", "--key", KEY, "--digest", "AB" * 32).returncode == 0
    assert explain(server, token, "--op", "sign", "--key", KEY).returncode == 1
    own = read_token(token).append(BlockBuilder('check if key($k), $k.contains("x"), alg($k)')).to_base64()
    found = explain(server, own, "--op", "sign", "--key", KEY, "--digest", "ab" * 32)
    assert found.stdout.startswith("refused with 403 denied: check 1 of block 2 failed")
    assert "first cause" in found.stderr
    assert explain(server, "nonsense!", "--op", "sign").stdout == (
        "refused with 401 unauthenticated: not base64url\n"
    )
    for wrong in (["--digest", "ab"], ["--client-cert-sha256", "zz" * 32]):
        refused = explain(server, token, "--op", "sign", *wrong)
        assert (refused.returncode, refused.stdout) == (1, "")
