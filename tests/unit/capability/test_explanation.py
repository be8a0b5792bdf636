"""What an operator is told about a token is what the service decides on it, and why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from biscuit_auth import BlockBuilder

from ronkms.capability.attenuate import Attenuation, attenuate, read_token
from ronkms.capability.clock import FixedClock
from ronkms.capability.explanation import Asked, Explanation, FailedCheck, explain
from ronkms.capability.inspection import last_block_id
from ronkms.domain.operation import Operation
from tests.unit.capability.issuer import START, Issuer
from tests.unit.capability.test_authorization_fuzz import Fuzz, allows

SIGN, VERIFY, READ = Operation.SIGN, Operation.VERIFY, Operation.READ
CERT = "ab" * 32
GOOD = Asked(SIGN, "orders-1", ("Ed25519",), b"", CERT)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


def ask(issuer: Issuer, token: str, asked: Asked = GOOD, at: float = START) -> Explanation:
    return explain(issuer.verifier.as_of(FixedClock(at)), token, lambda _: asked)


def narrowed(issuer: Issuer) -> str:
    token = issuer.mint.mint(
        "acme", [(SIGN, "orders-*"), (VERIFY, "*")], 3600, Attenuation(max_delegations=3)
    ).token
    token = attenuate(token, Attenuation(operations=(SIGN,), keys=("orders-1",)))
    return attenuate(
        token,
        Attenuation(
            algs=("Ed25519",), client_certs=(CERT,), deadline=datetime.fromtimestamp(START + 60, UTC)
        ),
    )


def test_a_good_token(issuer: Issuer) -> None:
    token = narrowed(issuer)
    found = ask(issuer, token)
    assert (found.allowed, found.code, found.reason, found.failed) == (True, "", "", [])
    assert (found.tenant, found.algs, found.compiled) == ("acme", ["Ed25519"], True)
    assert found.token_id == issuer.verifier.authenticate(token).token_id


@pytest.mark.parametrize(
    ("changed", "reason", "failed"),
    [
        ({"op": READ}, "no right for read", [(1, 1)]),
        ({"key_id": "invoices"}, "no right for sign covers the key", [(1, 2)]),
        ({"op": VERIFY}, "check 1 of block 1 (operation) failed", [(1, 1)]),
        ({"key_id": "orders-2"}, "check 2 of block 1 (key) failed", [(1, 2)]),
        ({"algs": ("ES256",)}, "check 1 of block 2 (alg) failed", [(2, 1)]),
        ({"algs": ("Ed25519", "ES256")}, "check 1 of block 2 (alg) failed", [(2, 1)]),
        ({"algs": ()}, "check 1 of block 2 (alg) failed", [(2, 1)]),
        ({"client_cert": ""}, "check 2 of block 2 (client_cert) failed", [(2, 2)]),
        (
            {"op": VERIFY, "key_id": "x", "algs": (), "client_cert": "cd" * 32},
            "check 1 of block 1 (operation) failed",
            [(1, 1), (1, 2), (2, 1), (2, 2)],
        ),
    ],
)
def test_every_cause_is_named(
    issuer: Issuer, changed: dict[str, object], reason: str, failed: list[tuple[int, int]]
) -> None:
    found = ask(issuer, narrowed(issuer), GOOD._replace(**changed))  # type: ignore[arg-type]
    assert (found.allowed, found.code, found.reason) == (False, "denied", reason)
    assert found.failed == [FailedCheck(*place) for place in failed]


def test_other_times(issuer: Issuer) -> None:
    token = narrowed(issuer)
    late = ask(issuer, token, at=START + 60)
    assert (late.code, late.reason) == ("unauthenticated", "it ended at 2027-01-15T08:01:00Z")
    early = attenuate(token, Attenuation(not_before=datetime.fromtimestamp(START + 5, UTC)))
    assert ask(issuer, early).reason == "check 1 of block 3 (time) failed"
    assert ask(issuer, early, at=START + 5).allowed
    assert ask(issuer, token).allowed, "the answer for another time leaves nothing behind"


def test_delegated_too_often(issuer: Issuer) -> None:
    token = attenuate(narrowed(issuer), Attenuation(operations=(SIGN,)))
    over = read_token(token).append(BlockBuilder('check if operation("sign")')).to_base64()
    found = ask(issuer, over)
    assert found.reason == "check 2 of block 0 (delegations) failed"
    assert found.failed == [FailedCheck(0, 2)]


def spoil(token: str) -> str:
    return token[:60] + ("A" if token[60] != "A" else "B") + token[61:]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda issuer, token: spoil(token), ""),
        (lambda issuer, token: "", "not 1 to 8192 ASCII characters"),
        (lambda issuer, token: "a b", "not base64url"),
        (lambda issuer, token: issuer.mint.revoke(last_block_id(token)) and token, "block 2 is revoked"),
        (
            lambda issuer, token: (issuer.mint.rotate(), issuer.mint.withdraw(1)) and token,
            "root 1 is not in use here",
        ),
        (lambda issuer, token: append_rule(token), "a rule, a scope or an unknown field"),
    ],
)
def test_why_a_token_is_no_token(issuer: Issuer, make: Callable[[Issuer, str], str], reason: str) -> None:
    found = ask(issuer, make(issuer, narrowed(issuer)))
    assert (found.allowed, found.code) == (False, "unauthenticated")
    assert found.reason == reason or not reason
    assert found.reason


def append_rule(token: str) -> str:
    return read_token(token).append(BlockBuilder('right("sign", $k) <- key($k)')).to_base64()


def test_beyond_the_closed_set_the_first_cause_is_named(issuer: Issuer) -> None:
    foreign = BlockBuilder('check if key("orders-1"), alg("ES256")')
    token = read_token(narrowed(issuer)).append(foreign).to_base64()
    found = ask(issuer, token)
    assert (found.compiled, found.reason, found.failed) == (False, "check 1 of block 3 failed", [])


def test_agrees_with_the_decision_on_random_tokens() -> None:
    fuzz = Fuzz(20261128)
    grants = 0
    for _ in range(150):
        token, said = fuzz.token()
        for _ in range(2):
            wanted = fuzz.request(said)
            algs = [wanted.alg] if wanted.alg else []
            asked = Asked(wanted.op, wanted.key or "*", algs, bytes.fromhex(wanted.digest), wanted.cert)
            found = ask(fuzz.issuer, token, asked, at=wanted.at)
            assert found.allowed is allows(said, wanted)
            assert bool(found.reason) is not found.allowed
            if found.code == "denied" and found.compiled and not found.reason.startswith("no right"):
                assert found.failed
            grants += found.allowed
    assert grants > 15
