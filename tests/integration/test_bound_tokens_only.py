"""``cap_bind_required``, through a real server: no token is good without its client's certificate."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from biscuit_auth import BlockBuilder

from ronkms.capability.attenuate import read_token
from tests.e2e.support.audit_records import read_records
from tests.integration.certificates import Authority, Pair
from tests.integration.raw_http import RawConnection
from tests.integration.tls_proxy import tls_proxy
from tests.server_process import ServerProcess

SIGN = {"key_id": "k", "message": base64.b64encode(b"pay").decode()}
MINT = ["cap", "mint", "--tenant", "default", "--key", "*", "--ttl", "1h", "--op", "sign", "--op", "read"]
CAUSE = "not bound to a client certificate, as cap_bind_required demands"


@dataclass
class Party:
    """A server that demands bound tokens, two clients and a proxy's certificate."""

    server: ServerProcess
    authority: Authority
    first: Pair
    second: Pair
    proxy: Pair

    def mint(self, *options: str) -> str:
        return self.server.ronctl(*MINT, *options).stdout.strip()

    def bound_to(self, pair: Pair) -> str:
        return self.mint("--client-cert-sha256", pair.fingerprint)

    def attenuate(self, token: str, *options: str) -> str:
        return self.server.ronctl("cap", "attenuate", token, *options).stdout.strip()

    def sign(self, pair: Pair, token: str, url: str = "", *more: str) -> tuple[int, Any]:
        """Status and body of one signature, over a new connection."""
        context = ssl.create_default_context(cafile=str(self.authority.cert))
        context.load_cert_chain(pair.cert, pair.key)
        with RawConnection(url or self.server.api_url, tls=context) as connection:
            body = json.dumps(SIGN).encode()
            reply = connection.request("POST", "/v1/kms/sign", token, body, more=("Connection: close", *more))
        return reply.status, reply.json()


@pytest.fixture(scope="module")
def party(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Party]:
    directory = tmp_path_factory.mktemp("bound")
    authority = Authority(directory / "tls")
    pair, first, second, proxy = map(authority.issue, ("server", "first", "second", "proxy"))
    env = {
        "KMS_TLS_CERT": str(pair.cert),
        "KMS_TLS_KEY": str(pair.key),
        "KMS_TLS_CLIENT_CA": str(authority.cert),
        "KMS_CAP_BIND_REQUIRED": "true",
        "KMS_WORKERS": "1",
    }
    with ServerProcess(directory / "data", env, scheme="https") as server:
        made = Party(server, authority, first, second, proxy)
        options = [
            "--ca-file",
            str(authority.cert),
            "--client-cert",
            str(first.cert),
            "--client-key",
            str(first.key),
        ]
        server.ronctl(*options, "keys", "create", "k", "--alg", "Ed25519")
        yield made


def test_an_unbound_token_is_refused_on_every_path(party: Party) -> None:
    for token in (party.mint(), party.server.token, party.attenuate(party.mint(), "--key", "k")):
        for _ in range(3):
            status, problem = party.sign(party.first, token)
            assert (status, problem["code"]) == (403, "denied")
        records = [r for r in read_records(party.server.data_dir) if r["corr_id"] == problem["corr_id"]]
        assert [record["detail"] for record in records] == [CAUSE]


def test_minting_an_unbound_token_says_what_it_lacks(party: Party) -> None:
    minted = party.server.ronctl(*MINT)
    assert "notice: cap_bind_required is on" in minted.stderr
    assert len(minted.stdout.split()) == 1
    bound = party.server.ronctl(*MINT, "--client-cert-sha256", party.first.fingerprint)
    assert "notice" not in bound.stderr


def test_a_bound_token_is_good_with_its_certificate_alone(party: Party) -> None:
    minted = party.bound_to(party.first)
    attenuated = party.attenuate(party.mint(), "--client-cert-sha256", party.first.fingerprint)
    for token in (minted, attenuated, party.attenuate(minted, "--key", "k", "--op", "sign")):
        for _ in range(4):  # in turn, so that what the worker has learnt is of no help to the thief
            assert party.sign(party.first, token)[0] == 200
            assert party.sign(party.second, token)[0] == 403


@pytest.mark.parametrize(
    "source",
    [
        'check if client_cert("{thief}") or operation("sign")',
        'check if client_cert($c), $c.starts_with("")',
        'client_cert("{thief}"); check if client_cert("{thief}")',
        "check if client_cert($c)",
        'check if operation("sign") or client_cert("{thief}")',
        'note("x"); check if client_cert("{thief}")',
    ],
)
def test_what_looks_like_a_binding_and_is_none(party: Party, source: str) -> None:
    block = BlockBuilder(source.format(thief=party.second.fingerprint))
    token = read_token(party.mint()).append(block).to_base64()
    for pair in (party.first, party.second):
        assert party.sign(pair, token)[0] == 403


def test_a_holder_cannot_drop_or_change_the_binding(party: Party) -> None:
    bound = party.bound_to(party.first)
    thief = party.second.fingerprint
    rebound = party.attenuate(bound, "--client-cert-sha256", thief)
    for source in (f'client_cert("{thief}")', f'check if client_cert("{thief}") or operation("sign")'):
        forged = read_token(bound).append(BlockBuilder(source)).to_base64()
        assert party.sign(party.second, forged)[0] == 403
    for pair in (party.first, party.second):
        assert party.sign(pair, rebound)[0] == 403


def test_a_proxy_carries_no_client(party: Party) -> None:
    """The service sees the proxy's certificate: what a client's token is bound to does not pass, whatever
    headers the proxy adds; and a token for the proxy is good for whoever may use the proxy."""
    port = urlsplit(party.server.api_url).port
    assert port is not None
    claims = (
        f"X-Client-Cert-Sha256: {party.first.fingerprint}",
        f"ronkms.client_cert_sha256: {party.first.fingerprint}",
        f"Client-Cert: :{base64.b64encode(ssl.PEM_cert_to_DER_cert(party.first.cert.read_text())).decode()}:",
    )
    with tls_proxy(party.authority, party.authority.issue("front"), party.proxy, port) as url:
        assert party.sign(party.first, party.bound_to(party.first), url)[0] == 403
        assert party.sign(party.first, party.bound_to(party.first), url, *claims)[0] == 403
        for pair in (party.first, party.second):
            assert party.sign(pair, party.bound_to(party.proxy), url)[0] == 200
    assert party.sign(party.first, party.bound_to(party.proxy))[0] == 403


def test_ronctl_binds_what_it_mints_for_itself(party: Party) -> None:
    """Also without a certificate it is refused, by TLS, before any token counts."""
    ca = ["--ca-file", str(party.authority.cert)]
    pair = ["--client-cert", str(party.second.cert), "--client-key", str(party.second.key)]
    assert "k" in party.server.ronctl(*ca, *pair, "keys", "list").stdout
    assert party.server.ronctl(*ca, "keys", "list", check=False).returncode == 4


def test_explain_knows_the_setting(party: Party) -> None:
    asked = ["--op", "sign", "--key", "k", "--client-cert-sha256", party.first.fingerprint]
    refused = party.server.ronctl("cap", "explain", party.mint(), *asked, check=False)
    assert refused.stdout.splitlines()[0] == f"refused with 403 denied: {CAUSE}"
    assert party.server.ronctl("cap", "explain", party.bound_to(party.first), *asked).returncode == 0
    other = party.server.ronctl("cap", "explain", party.bound_to(party.second), *asked, check=False)
    assert "check 2 of block 0 (client_cert) failed" in other.stdout


def test_two_admins_with_bound_tokens_approve_an_exception(party: Party, tmp_path: Path) -> None:
    party.server.ronctl("policy", "lock", "--tenant", "default")
    wanted = ["--tenant", "default", "--name", "CHG-9", "--reason", "old verifiers", "--verify-mode", "or"]
    wanted += ["--ttl", "1h"]

    def approve(pair: Pair, *more: str, bound_to: Pair | None = None) -> str:
        holder = bound_to or pair
        token = party.mint("--op", "admin", "--client-cert-sha256", holder.fingerprint)
        certificate = ("--client-cert", str(pair.cert), "--client-key", str(pair.key))
        return party.server.ronctl(
            *certificate, "policy", "approve", *wanted, *more, "--token", token
        ).stdout.strip()

    def ask(requester: str, approver: str) -> tuple[int, str]:
        for name, text in (("requester", requester), ("approver", approver)):
            (tmp_path / name).write_text(text)
        tokens = ("--requester", f"@{tmp_path / 'requester'}", "--approver", f"@{tmp_path / 'approver'}")
        told = party.server.ronctl("policy", "except", *wanted, *tokens, check=False)
        return told.returncode, told.stdout + told.stderr

    first, second = approve(party.first), approve(party.second)
    bare = party.mint("--op", "admin", "--client-cert-sha256", party.second.fingerprint)
    refused = {
        bare: "is bound to a client certificate: give what ronctl policy approve makes of it",
        approve(party.second, "--ttl", "2h"): "the proof of possession is not for just this request",
        approve(party.second, bound_to=party.first): "check 2 of block 0 (client_cert) failed",
        "x": "",
    }
    for approver, cause in refused.items():
        status, told = ask(first, approver)
        assert status != 0
        assert told.startswith(f"error: the approver's capability: {cause}"), told
    status, told = ask(first, first)
    assert (status, told.partition(":")[0]) == (1, "error"), told
    assert "these are one token's" in told
    status, told = ask(first, second)
    assert status == 0, told
    assert "exception           tenant CHG-9: verify_mode or until" in told
    intents = [
        record["detail"]
        for record in read_records(party.server.data_dir)
        if record.get("detail", "").startswith("policy.except") and record["phase"] == "intent"
    ]
    assert all("rkp1" not in detail for detail in intents)
    assert intents[-1].count("token_id=") == 2
    party.server.ronctl("policy", "end", "--tenant", "default", "--name", "CHG-9")
