"""Tokens through the verifier: good, bad, attenuated, forged."""

from __future__ import annotations

import base64
import copy
import hashlib
import logging
import pickle
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from biscuit_auth import Biscuit, BiscuitBuilder, BlockBuilder, Check, Fact, KeyPair, PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from ronkms.capability.attenuate import Attenuation, attenuate, read_token
from ronkms.capability.inspection import inspect_token, last_block_id
from ronkms.capability.mint import CapabilityMint
from ronkms.capability.root_key import RootKey
from ronkms.capability.state import CapabilityState
from ronkms.capability.token import UNAUTHENTICATED
from ronkms.capability.wire_format import MAX_TOKEN
from ronkms.domain.operation import Operation
from ronkms.errors import DENIED, BadRequest, Conflict, Denied, NotFound, Unauthenticated
from tests.unit.capability.issuer import START, BindingSeal, Issuer

SOON = datetime.fromtimestamp(START + 5, UTC)
SIGN, VERIFY, READ = Operation.SIGN, Operation.VERIFY, Operation.READ


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


def orders_token(issuer: Issuer, ttl: int = 3600) -> str:
    return issuer.mint.mint("acme", [(SIGN, "orders-*"), (VERIFY, "orders-*")], ttl).token


def append(issuer: Issuer, token: str, source: str) -> str:
    root = issuer.registry.state.roots[1]
    return (
        Biscuit.from_base64(token, PublicKey(f"ed25519/{root.public.hex()}"))
        .append(BlockBuilder(source))
        .to_base64()
    )


def refused(issuer: Issuer, token: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        issuer.verifier.authenticate(token)
    assert str(caught.value) == UNAUTHENTICATED


def test_grants_what_was_minted(issuer: Issuer) -> None:
    minted = issuer.mint.mint("acme", [(SIGN, "orders-*"), (VERIFY, "*")], 3600)
    token = issuer.verifier.authenticate(minted.token)
    assert (token.tenant, token.token_id, minted.expires_at) == ("acme", minted.token_id, int(START) + 3600)
    assert token.compiled
    token.require_operation(SIGN)
    token.require(SIGN, key_id="orders-1")
    token.require(VERIFY, key_id="*")
    token.require(VERIFY, key_id="invoices")
    for operation, key_id in [(SIGN, "invoices"), (SIGN, "*"), (READ, "orders-1")]:
        with pytest.raises(Denied):
            token.require(operation, key_id=key_id)
    with pytest.raises(Denied):
        token.require_operation(READ)


def test_second_time_comes_from_the_cache(issuer: Issuer) -> None:
    token = orders_token(issuer)
    before = issuer.registry.refreshes
    assert issuer.verifier.authenticate(token) is issuer.verifier.authenticate(token)
    assert issuer.registry.refreshes == before + 2


def test_admin_implies_nothing(issuer: Issuer) -> None:
    token = issuer.verifier.authenticate(issuer.mint.mint("acme", [(Operation.ADMIN, "*")], 60).token)
    for operation in Operation:
        if operation is not Operation.ADMIN:
            with pytest.raises(Denied):
                token.require(operation, key_id="*")


def test_expires(issuer: Issuer) -> None:
    token = orders_token(issuer, ttl=60)
    held = issuer.verifier.authenticate(token)
    issuer.clock.pass_seconds(59)
    held.require(SIGN, key_id="orders-1")
    issuer.clock.pass_seconds(1)
    refused(issuer, token)
    with pytest.raises(Unauthenticated):
        held.require(SIGN, key_id="orders-1")
    with pytest.raises(Unauthenticated):
        held.require_operation(SIGN)


def test_wall_clock_set_back_does_not_lengthen_a_seen_token(issuer: Issuer) -> None:
    token = orders_token(issuer, ttl=60)
    held = issuer.verifier.authenticate(token)
    issuer.clock.pass_seconds(61)
    issuer.clock.unix -= 3600
    with pytest.raises(Unauthenticated):
        held.require(SIGN, key_id="orders-1")
    for _ in range(3):
        refused(issuer, token)


def test_wall_clock_set_forward_ends_a_token(issuer: Issuer) -> None:
    token = orders_token(issuer, ttl=60)
    issuer.verifier.authenticate(token)
    issuer.clock.unix += 3600
    refused(issuer, token)


@pytest.mark.parametrize("by_token", [True, False])
def test_revoked_at_once_everywhere(issuer: Issuer, by_token: bool) -> None:
    token = orders_token(issuer)
    child = attenuate(token, Attenuation(keys=("orders-1",)))
    other = orders_token(issuer)
    held = issuer.verifier.authenticate(token)
    issuer.verifier.authenticate(child)
    issuer.mint.revoke(last_block_id(token) if by_token else held.token_id)
    refused(issuer, token)
    refused(issuer, child)
    with pytest.raises(Unauthenticated):
        held.require(SIGN, key_id="orders-1")
    issuer.verifier.authenticate(other)


def test_revoking_an_attenuation_leaves_its_parent(issuer: Issuer) -> None:
    token = orders_token(issuer)
    child = attenuate(token, Attenuation(keys=("orders-1",)))
    grandchild = attenuate(child, Attenuation(operations=(SIGN,)))
    issuer.mint.revoke(last_block_id(child))
    refused(issuer, child)
    refused(issuer, grandchild)
    issuer.verifier.authenticate(token)


def test_revoking_takes_the_full_id_of_other_tools(issuer: Issuer) -> None:
    token = orders_token(issuer)
    full = read_token(token).revocation_ids[0]
    assert issuer.mint.revoke(full) == issuer.mint.revoke(full) == full[:32]
    assert len(issuer.registry.state.revoked) == 1
    refused(issuer, token)
    for bad in ("", "12", full[:31], full.upper(), full[:32] + "\n", "../../etc/passwd"):
        with pytest.raises(BadRequest):
            issuer.mint.revoke(bad)


def test_foreign_root(issuer: Issuer) -> None:
    foreign = Issuer()
    refused(issuer, orders_token(foreign))


def test_unknown_and_missing_root_number(issuer: Issuer) -> None:
    key, _, _ = RootKey.generate(99, BindingSeal())
    refused(issuer, key.sign(BiscuitBuilder('tenant("acme"); right("sign", "*")')).to_base64())
    refused(issuer, BiscuitBuilder('tenant("acme")').build(KeyPair().private_key).to_base64())


def test_truncated_and_garbage(issuer: Issuer) -> None:
    token = orders_token(issuer)
    for cut in range(0, len(token), 7):
        refused(issuer, token[:cut])
    for bad in [
        "A" * (MAX_TOKEN + 1),
        "A" * MAX_TOKEN,
        token + "\x00",
        "\x00" * 64,
        token + " ",
        " " + token,
        token + "\n",
        "é" * 10,
        "\ud800",
        token[:50] + "+" + token[51:],
        token + token,
    ]:
        refused(issuer, bad)


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused(position: int, bit: int) -> None:
    raw = bytearray(_raw(_FLIP_TOKEN))
    raw[position % len(raw)] ^= 1 << bit
    refused(_FLIP_ISSUER, base64.urlsafe_b64encode(bytes(raw)).decode())


def test_one_encoding_per_token(issuer: Issuer) -> None:
    raw = _raw(orders_token(issuer))
    for same_message in (raw + raw, raw + b"\x08\x01", raw + b"\x50\x01"):
        refused(issuer, base64.urlsafe_b64encode(same_message).decode())


def _raw(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


_FLIP_ISSUER = Issuer()
_FLIP_TOKEN = attenuate(orders_token(_FLIP_ISSUER), Attenuation(keys=("orders-1",)))


def test_failures_are_remembered_for_a_short_while(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    token = orders_token(issuer)[:-8]
    parsed = []
    real = issuer.verifier._parse
    monkeypatch.setattr(issuer.verifier, "_parse", lambda text: parsed.append(text) or real(text))
    refused(issuer, token)
    refused(issuer, token)
    assert len(parsed) == 1
    issuer.clock.pass_seconds(6)
    refused(issuer, token)
    assert len(parsed) == 2
    issuer.mint.rotate()
    refused(issuer, token)
    assert len(parsed) == 3


@pytest.mark.parametrize(
    ("attenuation", "binds"),
    [
        (Attenuation(keys=("orders-1",), algs=("Ed25519",)), False),
        (Attenuation(digests=("00" * 32,)), True),
    ],
)
def test_a_check_on_the_digest_binds_the_message(
    issuer: Issuer, attenuation: Attenuation, binds: bool
) -> None:
    token = attenuate(orders_token(issuer), attenuation)
    assert issuer.verifier.authenticate(token).binds_message is binds


def test_attenuation_narrows(issuer: Issuer) -> None:
    message = b"invoice 7"
    digest = hashlib.sha256(message).digest()
    token = attenuate(
        orders_token(issuer),
        Attenuation(
            operations=(SIGN,),
            keys=("orders-1", "orders-x*"),
            algs=("Ed25519",),
            digests=(digest.hex(),),
            deadline=datetime.fromtimestamp(START + 100, UTC),
        ),
    )
    held = issuer.verifier.authenticate(token)
    assert held.compiled
    held.require(SIGN, key_id="orders-1", alg="Ed25519", message_digest=digest)
    held.require(SIGN, key_id="orders-xy", alg="Ed25519", message_digest=digest)
    for wrong in [
        {"key_id": "orders-2", "alg": "Ed25519", "message_digest": digest},
        {"key_id": "orders-1", "alg": "ES256", "message_digest": digest},
        {"key_id": "orders-1", "alg": "Ed25519", "message_digest": hashlib.sha256(b"x").digest()},
        {"key_id": "orders-1", "alg": "Ed25519"},
        {"key_id": "orders-1", "message_digest": digest},
        {"key_id": "*", "alg": "Ed25519", "message_digest": digest},
    ]:
        with pytest.raises(Denied):
            held.require(SIGN, **wrong)
    with pytest.raises(Denied):
        held.require(VERIFY, key_id="orders-1", alg="Ed25519", message_digest=digest)
    issuer.clock.pass_seconds(100)
    with pytest.raises(Unauthenticated):
        held.require(SIGN, key_id="orders-1", alg="Ed25519", message_digest=digest)
    refused(issuer, token)


def test_later_deadline_does_not_lengthen(issuer: Issuer) -> None:
    token = attenuate(
        orders_token(issuer, 60), Attenuation(deadline=datetime.fromtimestamp(START + 9999, UTC))
    )
    issuer.clock.pass_seconds(60)
    refused(issuer, token)


@pytest.mark.parametrize(
    "source",
    [
        'right("admin", "*")',
        'right("sign", "*")',
        'tenant("evil")',
        "expires(2099-01-01T00:00:00Z)",
        'right("admin", "*"); operation("admin"); check if operation("admin")',
    ],
)
def test_facts_of_later_blocks_grant_nothing(issuer: Issuer, source: str) -> None:
    held = issuer.verifier.authenticate(append(issuer, orders_token(issuer), source))
    assert (held.tenant, held.compiled) == ("acme", False)
    held.require(SIGN, key_id="orders-1")
    for operation, key_id in [(SIGN, "invoices"), (Operation.ADMIN, "*"), (Operation.ADMIN, "orders-1")]:
        with pytest.raises(Denied):
            held.require(operation, key_id=key_id)
    issuer.clock.pass_seconds(3600)
    with pytest.raises(Unauthenticated):
        held.require(SIGN, key_id="orders-1")


def test_a_name_with_a_quote_cannot_widen_a_check(issuer: Issuer) -> None:
    crafted = 'orders-1") or key("orders-2'
    block = BlockBuilder("")
    block.add_check(Check("check if key({name})", {"name": crafted}))
    root = issuer.registry.state.roots[1]
    token = Biscuit.from_base64(orders_token(issuer), PublicKey(f"ed25519/{root.public.hex()}")).append(block)
    assert token.block_source(1) == 'check if key("orders-1") or key("orders-2");\n'
    held = issuer.verifier.authenticate(token.to_base64())
    assert not held.compiled
    for key_id in ("orders-1", "orders-2"):
        with pytest.raises(Denied):
            held.require(SIGN, key_id=key_id)


@pytest.mark.parametrize(
    "source",
    [
        'right("sign", $k) <- key($k)',
        'check if key($k), $k.matches("orders-.*")',
        "check if [1, 2].all($a -> [1, 2].all($b -> $a + $b > 0))",
        "check if right($a, $b), right($c, $d), right($e, $f), right($g, $h), right($i, $j)",
        'check if key("orders-1") trusting previous',
    ],
)
def test_what_may_be_expensive_is_refused(issuer: Issuer, source: str) -> None:
    refused(issuer, append(issuer, orders_token(issuer), source))


def test_third_party_blocks_are_refused(issuer: Issuer) -> None:
    token = read_token(orders_token(issuer))
    other = KeyPair()
    block = token.third_party_request().create_block(
        other.private_key, BlockBuilder('check if key("orders-1")')
    )
    refused(issuer, token.append_third_party(other.public_key, block).to_base64())


def test_at_most_sixteen_blocks(issuer: Issuer) -> None:
    token = orders_token(issuer)
    for _ in range(15):
        token = append(issuer, token, 'check if key("orders-1")')
    issuer.verifier.authenticate(token)
    refused(issuer, append(issuer, token, 'check if key("orders-1")'))


def test_expensive_joins_are_refused_before_they_run(issuer: Issuer) -> None:
    facts = "".join(f"n({number});" for number in range(100))
    source = facts + "check if n($a), n($b), n($c), n($d), $a + $b + $c + $d == 1000"
    started = time.process_time()
    refused(issuer, append(issuer, orders_token(issuer), source))
    assert time.process_time() - started < 5, "a hundred million combinations take longer"


@pytest.mark.parametrize(
    "source",
    [
        'right("sign", "*"); expires(2099-01-01T00:00:00Z)',
        'tenant("a"); tenant("b"); right("sign", "*"); expires(2099-01-01T00:00:00Z)',
        'tenant("a"); expires(2099-01-01T00:00:00Z)',
        'tenant("a"); right("sign", "*")',
        'tenant(1); right("sign", "*"); expires(2099-01-01T00:00:00Z)',
        'tenant("a"); right("sign", 7); expires(2099-01-01T00:00:00Z)',
        'tenant("a"); right("sign", "*"); expires("never")',
        'tenant("a"); right("nothing", "*"); expires(2099-01-01T00:00:00Z)',
        'tenant("a"); right("sign", "*"); expires(2099-01-01T00:00:00Z); expires(2098-01-01T00:00:00Z)',
    ],
)
def test_authority_block_must_be_whole(issuer: Issuer, source: str) -> None:
    key = issuer.mint._newest_key()
    refused(issuer, key.sign(BiscuitBuilder(source)).to_base64())


def test_rotation_overlaps_then_ends(issuer: Issuer) -> None:
    before = orders_token(issuer, ttl=10_000)
    assert issuer.mint.rotate(overlap_seconds=600) == 2
    after = orders_token(issuer, ttl=10_000)
    assert (inspect_token(before).root, inspect_token(after).root) == (1, 2)
    issuer.verifier.authenticate(before)
    issuer.clock.pass_seconds(600)
    refused(issuer, before)
    issuer.verifier.authenticate(after)
    issuer.mint.revoke("cd" * 16)
    issuer.mint.rotate()
    assert set(issuer.registry.state.roots) == {2, 3}


def test_a_rotation_is_one_entry(issuer: Issuer) -> None:
    """So a crash cannot leave a new root beside old ones that have no end."""
    issuer.mint.rotate(overlap_seconds=1000)
    issuer.mint.rotate(overlap_seconds=600)
    before = len(issuer.registry.entries)
    issuer.clock.pass_seconds(600)
    issuer.mint.rotate(overlap_seconds=50)
    assert len(issuer.registry.entries) == before + 1
    roots = issuer.registry.state.roots
    now = int(START) + 600
    assert {number: root.until for number, root in roots.items()} == {3: now + 50, 4: None}
    compacted = CapabilityState()
    for seq, entry in enumerate(issuer.registry.state.live_entries(), 1):
        compacted.apply(seq, entry)
    assert compacted.roots == roots


def test_a_token_in_use_outlives_the_rotation_of_its_root_by_the_overlap(issuer: Issuer) -> None:
    token = orders_token(issuer, ttl=10_000)
    held = issuer.verifier.authenticate(token)
    issuer.mint.rotate(overlap_seconds=600)
    for in_use in (held, issuer.verifier.authenticate(token)):
        in_use.require(SIGN, key_id="orders-1")
    facts = held.compiled_facts()
    assert facts is not None
    assert facts.deadline == int(START) + 600
    issuer.clock.pass_seconds(599)
    issuer.mint.rotate(overlap_seconds=600)
    held.require(SIGN, key_id="orders-1")
    issuer.clock.pass_seconds(1)
    with pytest.raises(Unauthenticated):
        held.require(SIGN, key_id="orders-1")
    refused(issuer, token)


def test_a_shorter_overlap_ends_a_token_in_use_sooner(issuer: Issuer) -> None:
    token = orders_token(issuer, ttl=10_000)
    held = issuer.verifier.authenticate(token)
    issuer.mint.rotate(overlap_seconds=600)
    held.require(SIGN, key_id="orders-1")
    issuer.mint.rotate(overlap_seconds=10)
    held.require(SIGN, key_id="orders-1")
    issuer.clock.pass_seconds(10)
    with pytest.raises(Unauthenticated):
        held.require(SIGN, key_id="orders-1")


def test_withdrawn_root_ends_its_tokens_at_once(issuer: Issuer) -> None:
    token = orders_token(issuer)
    held = issuer.verifier.authenticate(token)
    with pytest.raises(Conflict):
        issuer.mint.withdraw(1)
    issuer.mint.revoke("ab" * 16)
    issuer.mint.rotate()
    issuer.mint.withdraw(1)
    refused(issuer, token)
    with pytest.raises(Unauthenticated):
        held.require_operation(SIGN)
    assert issuer.registry.state.revoked == {}
    with pytest.raises(NotFound):
        issuer.mint.withdraw(1)


@pytest.mark.parametrize("tenant", ["", "Acme", "a b", 'a"', "a" * 65, "-a", "a\x00", "a\n"])
def test_mint_refuses_tenants(issuer: Issuer, tenant: str) -> None:
    with pytest.raises(BadRequest):
        issuer.mint.mint(tenant, [(SIGN, "*")], 60)


def test_mint_has_limits(issuer: Issuer) -> None:
    for ttl in (0, -1, 90 * 24 * 3600 + 1):
        with pytest.raises(BadRequest):
            issuer.mint.mint("acme", [(SIGN, "*")], ttl)
    for rights in ([], [(SIGN, f"key-{number}") for number in range(65)], [(SIGN, 'a"b')]):
        with pytest.raises(BadRequest):
            issuer.mint.mint("acme", rights, 60)
    with pytest.raises(BadRequest):
        issuer.mint.mint("acme", [(SIGN, f"{number}" + "k" * 120) for number in range(64)], 60)


def test_cache_is_bounded(issuer: Issuer) -> None:
    tokens = [orders_token(issuer) for _ in range(4)]
    issuer.verifier._verified._capacity = 2
    held = [issuer.verifier.authenticate(token) for token in tokens]
    assert len(issuer.verifier._verified) == 2
    assert issuer.verifier.authenticate(tokens[3]) is held[3]
    assert issuer.verifier.authenticate(tokens[0]) is not held[0]


def test_the_root_key_shows_and_copies_nothing(issuer: Issuer) -> None:
    key, _, sealed = RootKey.generate(7, BindingSeal())
    secret = sealed[32:].hex()
    assert repr(key) == str(key) == f"{key}" == "RootKey(number=7)"
    for leak in (repr(key), repr(issuer.mint), repr(vars(issuer.mint)), repr(issuer.verifier)):
        assert "private" not in leak
        assert secret not in leak
    for copier in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            copier(key)
    with pytest.raises(ValueError, match="damaged"):
        RootKey.open(8, sealed, BindingSeal())


def test_tokens_show_nowhere(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    minted = issuer.mint.mint("acme", [(SIGN, "*")], 60)
    held = issuer.verifier.authenticate(minted.token)
    refused(issuer, minted.token[:-4])
    shown = repr(minted) + repr(held) + repr(issuer.verifier) + caplog.text
    assert minted.token[:32] not in shown


def test_attenuation_refuses_malformed_input(issuer: Issuer) -> None:
    token = orders_token(issuer)
    for narrowing in [
        Attenuation(),
        Attenuation(keys=('a"b',)),
        Attenuation(keys=("a*b*",)),
        Attenuation(keys=("**",)),
        Attenuation(keys=("-*a",)),
        Attenuation(keys=("a" * 129,)),
        Attenuation(max_delegations=-1),
        Attenuation(max_delegations=16),
        Attenuation(not_before=SOON, deadline=SOON),
        Attenuation(keys=("*",)),
        Attenuation(algs=("none",)),
        Attenuation(digests=("AB",)),
    ]:
        with pytest.raises(BadRequest):
            attenuate(token, narrowing)
    foreign = BiscuitBuilder('tenant("a")').build(KeyPair().private_key).to_base64()
    for bad in ("", "x", token[:-9], foreign):
        with pytest.raises(BadRequest):
            attenuate(bad, Attenuation(operations=(SIGN,)))


def test_inspection_shows_ids_and_claims(issuer: Issuer) -> None:
    token = attenuate(orders_token(issuer), Attenuation(keys=("orders-1",)))
    shown = inspect_token(token)
    assert shown.root == 1
    assert shown.expires == (datetime.fromtimestamp(START, UTC) + timedelta(hours=1)).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    assert [block.revocation_id for block in shown.blocks] == [
        i[:32] for i in read_token(token).revocation_ids
    ]
    assert shown.blocks[1].statements == ['check if key($key), {"orders-1"}.contains($key);']
    with pytest.raises(BadRequest):
        inspect_token("nonsense")


def test_mint_seals_its_root_and_opens_it_again() -> None:
    issuer = Issuer()
    seal = BindingSeal()
    mint = CapabilityMint(issuer.registry, seal, clock=issuer.clock)
    number = mint.rotate()
    again = CapabilityMint(issuer.registry, seal, clock=issuer.clock)
    token = again.mint("acme", [(SIGN, "*")], 60).token
    assert inspect_token(token).root == number
    issuer.verifier.authenticate(token)


def test_facts_are_typed_not_printed(issuer: Issuer) -> None:
    builder = BiscuitBuilder("expires(2099-01-01T00:00:00Z)")
    builder.add_fact(Fact("tenant({t})", {"t": 'a");\nright("sign", "*'}))
    refused(issuer, issuer.mint._newest_key().sign(builder).to_base64())


@settings(max_examples=300, deadline=None)
@given(noise=st.binary(max_size=400), at=st.integers(0, 500))
def test_random_bytes_are_refused(noise: bytes, at: int) -> None:
    raw = _raw(_FLIP_TOKEN)
    for bad in (
        noise,
        raw[:at] + noise,
        raw[:at] + noise + raw[at:],
        raw[:at] + noise + raw[at + len(noise) :],
    ):
        if bad != raw:
            refused(_FLIP_ISSUER, base64.urlsafe_b64encode(bad).decode())


def test_threads_share_tokens(issuer: Issuer) -> None:
    tokens = [
        append(issuer, orders_token(issuer), 'check if key($k), $k.ends_with("1")') for _ in range(3)
    ] + [attenuate(orders_token(issuer), Attenuation(keys=("orders-1",))) for _ in range(3)]
    issuer.verifier._verified._capacity = 4

    def use(number: int) -> int:
        held = issuer.verifier.authenticate(tokens[number % len(tokens)])
        held.require(SIGN, key_id="orders-1")
        with pytest.raises(Denied):
            held.require(SIGN, key_id="orders-2")
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(use, range(600))) == 600


CERT, OTHER_CERT = "ab" * 32, "cd" * 32


@pytest.mark.parametrize("place", ["minted", "attenuated", "datalog"])
def test_bound_to_a_client_certificate(issuer: Issuer, place: str) -> None:
    bound = (CERT,)
    if place == "minted":
        token = issuer.mint.mint("acme", [(SIGN, "orders-*")], 3600, Attenuation(client_certs=bound)).token
    elif place == "attenuated":
        token = attenuate(orders_token(issuer), Attenuation(client_certs=bound))
    else:
        token = append(issuer, orders_token(issuer), f'note("x"); check if client_cert("{CERT}")')
    held = issuer.verifier.authenticate(token)
    assert held.compiled is (place != "datalog")
    held.require(SIGN, key_id="orders-1", client_cert=CERT)
    held.require(SIGN, key_id=None, client_cert=CERT)
    held.require_unseen(SIGN, key_id="orders-1", client_cert=CERT)
    for wrong in (OTHER_CERT, "", CERT.upper()):
        for refuse in (held.require, held.require_unseen):
            with pytest.raises(Denied):
                refuse(SIGN, key_id="orders-1", client_cert=wrong)
        with pytest.raises(Denied):
            held.require(SIGN, key_id=None, client_cert=wrong)
    # The certificate comes with the call and stays with it.
    held.require(SIGN, key_id="orders-1", client_cert=CERT)


def test_a_holder_cannot_bind_to_another_certificate_too(issuer: Issuer) -> None:
    bound = issuer.mint.mint("acme", [(SIGN, "*")], 3600, Attenuation(client_certs=(CERT,))).token
    both = issuer.verifier.authenticate(attenuate(bound, Attenuation(client_certs=(OTHER_CERT,))))
    forged = issuer.verifier.authenticate(append(issuer, bound, f'client_cert("{OTHER_CERT}")'))
    for cert in (CERT, OTHER_CERT, ""):
        with pytest.raises(Denied):
            both.require(SIGN, key_id="k", client_cert=cert)
    with pytest.raises(Denied):
        forged.require(SIGN, key_id="k", client_cert=OTHER_CERT)
    forged.require(SIGN, key_id="k", client_cert=CERT)


@pytest.mark.parametrize("cert", ["", "ab", CERT.upper(), CERT + "0", "zz" * 32])
def test_a_malformed_fingerprint_is_refused(issuer: Issuer, cert: str) -> None:
    with pytest.raises(BadRequest, match="SHA-256"):
        issuer.mint.mint("acme", [(SIGN, "*")], 3600, Attenuation(client_certs=(cert,)))
    with pytest.raises(BadRequest, match="SHA-256"):
        attenuate(orders_token(issuer), Attenuation(client_certs=(cert,)))


@pytest.mark.parametrize("datalog", [False, True])
def test_a_denial_names_its_cause_to_the_audit_log_alone(issuer: Issuer, datalog: bool) -> None:
    token = attenuate(orders_token(issuer), Attenuation(operations=(SIGN,), keys=("orders-1",)))
    token = attenuate(token, Attenuation(algs=("Ed25519",), client_certs=(CERT,)))
    if datalog:
        token = append(issuer, token, 'note("beyond the closed set")')
    held = issuer.verifier.authenticate(token)
    assert held.compiled is not datalog
    good = {"key_id": "orders-1", "alg": "Ed25519", "client_cert": CERT}
    held.require(SIGN, **good)
    for op, wrong, reason in (
        (READ, {}, "no right for read"),
        (SIGN, {"key_id": "invoices"}, "no right for sign covers the key"),
        (VERIFY, {}, "check 1 of block 1 failed"),
        (SIGN, {"key_id": "orders-2"}, "check 2 of block 1 failed"),
        (SIGN, {"alg": "ES256"}, "check 1 of block 2 failed"),
        (SIGN, {"client_cert": OTHER_CERT}, "check 2 of block 2 failed"),
    ):
        with pytest.raises(Denied) as caught:
            held.require(op, **(good | wrong))
        assert str(caught.value) == DENIED
        assert re.sub(r" \([a-z_, ]+\)", "", caught.value.reason) == reason


@pytest.mark.parametrize("datalog", [False, True])
def test_what_needs_no_algorithm_is_decided_before_the_lookup(issuer: Issuer, datalog: bool) -> None:
    keyed = attenuate(orders_token(issuer), Attenuation(keys=("orders-1",)))
    by_alg = attenuate(keyed, Attenuation(algs=("Ed25519",)))
    if datalog:
        keyed, by_alg = (append(issuer, token, 'note("x")') for token in (keyed, by_alg))
    held = issuer.verifier.authenticate(keyed)
    with pytest.raises(Denied):
        held.require_unseen(SIGN, key_id="orders-2")
    held.require_unseen(SIGN, key_id="orders-1")
    held.require_seen(SIGN, key_id="orders-1", alg="")
    held = issuer.verifier.authenticate(by_alg)
    held.require_unseen(SIGN, key_id="orders-1")
    held.require_seen(SIGN, key_id="orders-1", alg="Ed25519")
    for alg in ("ES256", ""):
        with pytest.raises(Denied):
            held.require_seen(SIGN, key_id="orders-1", alg=alg)


def chain(issuer: Issuer, token: str, blocks: int) -> str:
    """As somebody does it who does not use our code."""
    for _ in range(blocks):
        token = append(issuer, token, 'check if operation("sign")')
    return token


@pytest.mark.parametrize("datalog", [False, True])
@pytest.mark.parametrize("limit", [0, 1, 2, 14])
def test_a_token_is_passed_on_so_often_and_no_more(issuer: Issuer, limit: int, datalog: bool) -> None:
    token = issuer.mint.mint("acme", [(SIGN, "*")], 3600, Attenuation(max_delegations=limit)).token
    last = chain(issuer, token, max(limit - datalog, 0))
    if datalog and limit:
        last = append(issuer, last, 'note("beyond the closed set")')
    issuer.verifier.authenticate(last).require(SIGN, key_id="k")
    over = append(issuer, last, 'note("x")' if datalog else 'check if operation("sign")')
    held = issuer.verifier.authenticate(over)
    assert held.compiled is not datalog
    for decide in (held.require, held.require_unseen):
        with pytest.raises(Denied) as caught:
            decide(SIGN, key_id="k")
        assert caught.value.reason.startswith("check 2 of block 0")
    for blocks in range(1, 15 - limit):
        with pytest.raises(Denied):
            issuer.verifier.authenticate(chain(issuer, over, blocks)).require(SIGN, key_id="k")


@pytest.mark.parametrize(
    "source",
    [
        "delegations(0)",
        "delegations(0); check if delegations(0)",
        "check if delegations($d), $d <= 99",
        'check if delegations($d), $d <= 99 or operation("sign")',
    ],
)
def test_no_block_raises_the_limit(issuer: Issuer, source: str) -> None:
    token = issuer.mint.mint("acme", [(SIGN, "*")], 3600, Attenuation(max_delegations=0)).token
    with pytest.raises(Denied):
        issuer.verifier.authenticate(append(issuer, token, source)).require(SIGN, key_id="k")


def test_a_holder_limits_what_is_made_from_its_token(issuer: Issuer) -> None:
    token = issuer.mint.mint("acme", [(SIGN, "*")], 3600, Attenuation(max_delegations=9)).token
    once = attenuate(token, Attenuation(operations=(SIGN,)))
    twice = attenuate(once, Attenuation(max_delegations=1))
    thrice = attenuate(twice, Attenuation(operations=(SIGN,), max_delegations=14))
    held = issuer.verifier.authenticate(thrice)
    assert held.compiled
    held.require(SIGN, key_id="k")
    assert (inspect_token(thrice).delegations, inspect_token(thrice).max_delegations) == (3, 3)
    with pytest.raises(BadRequest, match="may be passed on 3 times"):
        attenuate(thrice, Attenuation(operations=(SIGN,)))
    with pytest.raises(Denied):
        issuer.verifier.authenticate(chain(issuer, thrice, 1)).require(SIGN, key_id="k")
    assert inspect_token(orders_token(issuer)).max_delegations == 15


@pytest.mark.parametrize(
    ("patterns", "good", "bad"),
    [
        (("*-eu",), ["orders-eu", "-eu", "o-eu"], ["orders-us", "eu", "orders-eu1"]),
        (("orders-*-eu",), ["orders-1-eu", "orders--eu"], ["orders-eu", "orders-1", "x-eu"]),
        (("aba*aba",), ["abaaba", "aba-aba"], ["aba", "ababa"]),
        (("a*", "b-*-c", "d"), ["a1", "b-2-c", "d"], ["b-c", "d1", "c"]),
    ],
)
def test_a_pattern_has_one_star(
    issuer: Issuer, patterns: tuple[str, ...], good: list[str], bad: list[str]
) -> None:
    token = attenuate(issuer.mint.mint("acme", [(SIGN, "*")], 60).token, Attenuation(keys=patterns))
    datalog = append(issuer, token, 'note("x")')
    for each in (token, datalog):
        held = issuer.verifier.authenticate(each)
        assert held.compiled is (each == token)
        for key_id in good:
            held.require(SIGN, key_id=key_id)
        for key_id in (*bad, "*"):
            with pytest.raises(Denied):
                held.require(SIGN, key_id=key_id)


@pytest.mark.parametrize("minted", [False, True])
def test_is_not_good_before_its_time(issuer: Issuer, minted: bool) -> None:
    later = Attenuation(not_before=SOON)
    if minted:
        token = issuer.mint.mint("acme", [(SIGN, "*")], 60, later).token
    else:
        token = attenuate(issuer.mint.mint("acme", [(SIGN, "*")], 60).token, later)
    held = issuer.verifier.authenticate(token)
    assert held.compiled
    issuer.clock.pass_seconds(4)
    with pytest.raises(Denied) as caught:
        held.require(SIGN, key_id="k")
    assert "(time)" in caught.value.reason
    issuer.clock.pass_seconds(1)
    held.require(SIGN, key_id="k")


def test_what_narrows_a_minted_token_holds_for_its_attenuations(issuer: Issuer) -> None:
    digest = hashlib.sha256(b"m").digest()
    narrowing = Attenuation(
        algs=("Ed25519",), digests=(digest.hex(),), client_certs=(CERT,), max_delegations=3
    )
    token = issuer.mint.mint("acme", [(SIGN, "*")], 60, narrowing).token
    good = {"key_id": "k", "alg": "Ed25519", "message_digest": digest, "client_cert": CERT}
    for each in (token, attenuate(token, Attenuation(keys=("k",)))):
        held = issuer.verifier.authenticate(each)
        assert held.compiled
        held.require(SIGN, **good)
        for wrong in (
            {"alg": "ES256"},
            {"message_digest": b""},
            {"client_cert": OTHER_CERT},
            {"client_cert": ""},
        ):
            with pytest.raises(Denied):
                held.require(SIGN, **(good | wrong))


def test_minting_needs_an_end_in_reach(issuer: Issuer) -> None:
    mint, rights = issuer.mint.mint, [(SIGN, "*")]
    assert mint("acme", rights, None, Attenuation(deadline=SOON)).expires_at == int(START) + 5
    assert mint("acme", rights, 3, Attenuation(deadline=SOON)).expires_at == int(START) + 3
    token = mint("acme", rights, 60, Attenuation(deadline=SOON)).token
    assert (
        inspect_token(token).blocks[0].statements.count("check if time($time), $time < 2027-01-15T08:00:05Z;")
        == 1
    )
    past, far = (datetime.fromtimestamp(START + offset, UTC) for offset in (0, 1 << 30))
    for ttl, narrowing in (
        (None, None),
        (None, Attenuation(deadline=past)),
        (None, Attenuation(deadline=far)),
        (0, None),
        (5, Attenuation(not_before=SOON)),
        (60, Attenuation(algs=("none",))),
        (60, Attenuation(digests=("ab",))),
        (60, Attenuation(max_delegations=16)),
    ):
        with pytest.raises(BadRequest):
            mint("acme", rights, ttl, narrowing)


@pytest.mark.parametrize(
    ("source", "bound"),
    [
        (f'check if client_cert("{CERT}")', True),
        (f'check if client_cert($c), ["{CERT}"].contains($c)', True),
        (f'check if client_cert("{CERT}") or client_cert("{OTHER_CERT}")', True),
        (f'check if operation("sign"); check if client_cert("{CERT}")', True),
        (f'check if client_cert("{CERT}") or operation("sign")', False),
        ('check if client_cert($c), $c.starts_with("")', False),
        (f'check if client_cert($c), $c != "{CERT}"', False),
        (f'client_cert("{CERT}"); check if client_cert("{CERT}")', False),
        (f'note("x"); check if client_cert("{CERT}")', False),
        ('check if key("k")', False),
    ],
)
def test_what_binds_a_token(issuer: Issuer, source: str, bound: bool) -> None:
    free = orders_token(issuer)
    assert issuer.verifier.authenticate(append(issuer, free, source)).bound is bound
    minted = issuer.mint.mint("acme", [(SIGN, "*")], 60, Attenuation(client_certs=(CERT,))).token
    held = issuer.verifier.authenticate(append(issuer, minted, source))
    assert held.bound, "no later block takes it away"
    if not held.compiled:
        with pytest.raises(Denied):
            held.require(SIGN, key_id="k", client_cert=OTHER_CERT)
