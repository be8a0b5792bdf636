"""The public ``ronkms.client.attenuate`` makes what ``ronctl cap attenuate`` makes, and shows no token."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from ronkms.capability.attenuate import read_token
from ronkms.cli.ronctl import run
from ronkms.client import attenuate
from ronkms.domain.operation import Operation
from ronkms.errors import BadRequest, Denied, Unauthenticated
from tests.unit.capability.issuer import START, Issuer

CERT = "ab" * 32
SIGN = Operation.SIGN


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def token(issuer: Issuer) -> str:
    return issuer.mint.mint("acme", [(SIGN, "*"), (Operation.READ, "*")], 3600).token


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(START + seconds, UTC)


def test_narrows_by_everything(issuer: Issuer, token: str) -> None:
    narrow = attenuate(
        token,
        operations=["sign"],
        keys=["orders-*", "invoices"],
        algs=["Ed25519"],
        digests=[sha256(b"one").hexdigest()],
        messages=[b"two"],
        client_certs=[CERT],
        not_before=at(5),
        deadline=at(60),
        max_delegations=0,
    )
    held = issuer.verifier.authenticate(narrow)
    assert held.compiled
    assert held.bound
    issuer.clock.pass_seconds(5)
    good: dict[str, Any] = {
        "key_id": "orders-1",
        "alg": "Ed25519",
        "message_digest": sha256(b"two").digest(),
        "client_cert": CERT,
    }
    held.require(SIGN, **good)
    held.require(SIGN, **good | {"key_id": "invoices", "message_digest": sha256(b"one").digest()})
    for wrong in (
        {"key_id": "other"},
        {"alg": "ES256"},
        {"message_digest": sha256(b"three").digest()},
        {"client_cert": "cd" * 32},
    ):
        with pytest.raises(Denied):
            held.require(SIGN, **good | wrong)
    with pytest.raises(Denied):
        held.require(Operation.READ, **good)
    with pytest.raises(BadRequest, match="may be passed on 1 times"):
        attenuate(narrow, operations=["sign"])
    issuer.clock.pass_seconds(55)
    with pytest.raises(Unauthenticated):
        held.require(SIGN, **good)


def test_the_sooner_end_counts(token: str) -> None:
    for deadline, ttl in (
        (None, timedelta(minutes=5)),
        (datetime.now(UTC) + timedelta(minutes=5), timedelta(hours=1)),
    ):
        (check,) = read_token(attenuate(token, deadline=deadline, ttl=ttl)).block_source(1).splitlines()
        end = datetime.fromisoformat(check.removeprefix("check if time($time), $time < ").removesuffix(";"))
        assert timedelta(minutes=4) < end - datetime.now(UTC) <= timedelta(minutes=5)


def test_makes_what_ronctl_makes(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--op",
        "sign",
        "--key",
        "a-*-z",
        "--alg",
        "ES256",
        "--max-delegations",
        "2",
        "--digest",
        CERT,
    ]
    assert run(["cap", "attenuate", token, *arguments]) == 0
    by_ronctl = read_token(capsys.readouterr().out.strip())
    by_library = read_token(
        attenuate(
            token, operations=["sign"], keys=["a-*-z"], algs=["ES256"], max_delegations=2, digests=[CERT]
        )
    )
    assert by_library.block_source(1) == by_ronctl.block_source(1)


@pytest.mark.parametrize(
    "call",
    [
        lambda token: attenuate(token),
        lambda token: attenuate(token, operations=["everything"]),
        lambda token: attenuate(token, keys=["A"]),
        lambda token: attenuate(token, algs=["none"]),
        lambda token: attenuate(token, digests=["ab"]),
        lambda token: attenuate(token, client_certs=["ab"]),
        lambda token: attenuate(token, deadline=datetime(2999, 1, 1)),
        lambda token: attenuate(token, not_before=at(5), deadline=at(5)),
        lambda token: attenuate(token, max_delegations=16),
        lambda token: attenuate(token[:-8], operations=["sign"]),
        lambda token: attenuate(token + "A", operations=["sign"]),
        lambda token: attenuate("", operations=["sign"]),
    ],
)
def test_refuses_and_shows_no_token(
    token: str, call: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadRequest) as caught:
        call(token)
    assert caught.value.__cause__ is None
    assert token[:40] not in f"{caught.value!r}{capsys.readouterr()}"
