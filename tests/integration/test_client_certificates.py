"""Tokens bound to a client certificate, through a real server with mutual TLS: no confused deputy."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.certificates import Authority, Pair
from tests.integration.raw_http import RawConnection
from tests.server_process import ServerProcess

MESSAGE = base64.b64encode(b"pay").decode()
BYTES = base64.b64encode(bytes(64)).decode()
SIGN = {"key_id": "orders-1", "message": MESSAGE}


@dataclass
class Party:
    """Two clients of one server. ``bound``: ``ronctl cap mint`` for the first one's certificate."""

    server: ServerProcess
    authority: Authority
    first: Pair
    second: Pair
    bound: str

    def connect(self, pair: Pair) -> RawConnection:
        context = ssl.create_default_context(cafile=str(self.authority.cert))
        context.load_cert_chain(pair.cert, pair.key)
        return RawConnection(self.server.api_url, tls=context)

    def ask(self, pair: Pair, token: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        with self.connect(pair) as connection:
            return post(connection, token, path, body, **headers)


def post(connection: RawConnection, token: str, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    sent = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    content = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{'GET' if body is None else 'POST'} /v1/kms/{path} HTTP/1.1\r\nHost: kms\r\n"
        f"Authorization: Bearer {token}\r\n{sent}"
    )
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    connection.send(head.encode() + b"\r\n" + content)
    reply = connection.reply()
    return reply.status, json.loads(reply.body)


@pytest.fixture(scope="module")
def party(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Party]:
    directory = tmp_path_factory.mktemp("party")
    authority = Authority(directory / "tls")
    pair, first, second = (authority.issue(name) for name in ("server", "first", "second"))
    env = {
        "KMS_TLS_CERT": str(pair.cert),
        "KMS_TLS_KEY": str(pair.key),
        "KMS_TLS_CLIENT_CA": str(authority.cert),
        "KMS_WORKERS": "1",
    }
    with ServerProcess(directory / "data", env, scheme="https") as server:
        arguments = ["--tenant", "default", "--key", "*", "--ttl", "1h"]
        for op in ("sign", "verify", "read", "create", "import", "rotate", "state", "wrap", "unwrap"):
            arguments += ["--op", op]
        shown = ":".join(first.fingerprint[at : at + 2].upper() for at in range(0, 64, 2))
        bound = server.ronctl("cap", "mint", *arguments, "--client-cert-sha256", shown).stdout.strip()
        party = Party(server, authority, first, second, bound)
        made = party.ask(first, bound, "keys", {"key_id": "orders-1", "alg": "Ed25519", "usage": "sign"})
        assert made[0] == 201
        yield party


def test_another_clients_token_is_of_no_use(party: Party) -> None:
    """Also after the owner used it in the same worker, often enough for any cache to be warm."""
    with party.connect(party.first) as owner, party.connect(party.second) as thief:
        for _ in range(5):
            assert post(owner, party.bound, "sign", SIGN)[0] == 200
            assert post(thief, party.bound, "sign", SIGN)[0] == 403
        signature = post(owner, party.bound, "sign", SIGN)[1]["signature"]
        check = {**SIGN, "signature": signature}
        for _ in range(5):
            assert post(owner, party.bound, "verify", check)[1]["valid"] is True
            assert post(thief, party.bound, "verify", check)[0] == 403


def test_every_route_and_every_item_holds_the_binding(party: Party) -> None:
    for path, body in [
        ("sign", SIGN),
        ("verify", {**SIGN, "signature": ""}),
        ("wrap", {"key_id": "orders-1", "plaintext": BYTES}),
        ("unwrap", {"key_id": "orders-1", "ciphertext": BYTES}),
        ("datakey", {"key_id": "orders-1"}),
        ("rotate", {"key_id": "orders-1"}),
        ("keys", {"key_id": "orders-2", "alg": "Ed25519", "usage": "sign"}),
        ("keys/import/params", {}),
        ("keys/orders-1/disable", {}),
        ("keys", None),
        ("keys/orders-1", None),
    ]:
        status, problem = party.ask(party.second, party.bound, path, body)
        assert (path, status, problem["code"]) == (path, 403, "denied")
    for path, item in [("sign", SIGN), ("verify", {**SIGN, "signature": ""})]:
        items = party.ask(party.second, party.bound, path, {"items": [item, item]})[1]["items"]
        assert [each["status"] for each in items] == [403, 403]
    assert party.ask(party.first, party.bound, "keys/import/params", {})[0] == 200
    assert party.ask(party.first, party.bound, "keys/orders-1")[1]["state"] == "enabled"


def test_the_binding_holds_where_a_second_algorithm_is_decided_on(party: Party) -> None:
    """A rotation to the hybrid, and a signature by the version that the rollout picks, decide twice."""
    assert (
        party.ask(party.first, party.bound, "keys", {"key_id": "moving", "alg": "ES256", "usage": "sign"})[0]
        == 201
    )
    rotate = {"key_id": "moving", "alg": "MLDSA65-ECDSA-P256-SHA512"}
    assert party.ask(party.second, party.bound, "rotate", rotate)[0] == 403
    assert party.ask(party.first, party.bound, "rotate", rotate)[0] == 200
    classical = {"key_id": "moving", "message": MESSAGE, "signature_format": "p1363"}
    for body in ({"key_id": "moving", "message": MESSAGE}, classical):
        assert party.ask(party.second, party.bound, "sign", body)[0] == 403
        assert party.ask(party.first, party.bound, "sign", body)[0] == 200


def test_no_header_is_taken_for_a_certificate(party: Party) -> None:
    for name in (
        "ronkms.client_cert_sha256",
        "Ronkms-Client-Cert-Sha256",
        "X-Client-Cert-Sha256",
        "Client-Cert",
    ):
        more = {name: party.first.fingerprint}
        assert party.ask(party.second, party.bound, "sign", SIGN, **more)[0] == 403


def test_a_holder_binds_its_token_to_a_deputy_offline(party: Party) -> None:
    free = party.server.mint(op=["sign"], key="orders-*")
    assert party.ask(party.second, free, "sign", SIGN)[0] == 200
    fingerprint = party.second.fingerprint
    done = party.server.ronctl("cap", "attenuate", free, "--client-cert-sha256", fingerprint)
    deputy = done.stdout.strip()
    for _ in range(4):
        assert party.ask(party.second, deputy, "sign", SIGN)[0] == 200
        assert party.ask(party.first, deputy, "sign", SIGN)[0] == 403


def test_without_mutual_tls_a_bound_token_is_refused(tmp_path: Path, party: Party) -> None:
    with ServerProcess(tmp_path / "data") as server:
        arguments = ["--tenant", "default", "--op", "read", "--key", "*", "--ttl", "1h"]
        more = ["--client-cert-sha256", party.first.fingerprint]
        bound = server.ronctl("cap", "mint", *arguments, *more).stdout.strip()
        with RawConnection(server.api_url) as connection:
            assert connection.request("GET", "/v1/kms/keys", bound).status == 403
            assert connection.request("GET", "/v1/kms/keys", server.token).status == 200


def test_the_audit_log_says_which_check_failed(party: Party) -> None:
    problem = party.ask(party.second, party.bound, "sign", SIGN)[1]
    lines = [
        line
        for segment in sorted((party.server.data_dir / "audit").glob("audit-*.jsonl"))
        for line in segment.read_text().splitlines()
        if problem["corr_id"] in line
    ]
    assert [json.loads(line)["detail"] for line in lines] == ["check 2 of block 0 (client_cert) failed"]
    assert "client_cert" not in json.dumps(problem)
