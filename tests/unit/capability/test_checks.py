"""The compiled checks and the library's authorizer agree on random tokens and requests."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from biscuit_auth import AuthorizationError, Biscuit, BiscuitBuilder, BlockBuilder, KeyPair
from hypothesis import given, settings
from hypothesis import strategies as st

from ronkms.capability.access import FACTS, Access
from ronkms.capability.checks import compile_checks
from ronkms.capability.datalog import authorize
from ronkms.capability.wire_format import token_shape

NOW = 1_800_000_000
NAMES = st.sampled_from(FACTS)
TEXTS = st.sampled_from(
    ["sign", "verify", "orders-1", "orders-", "o", "", "Ed25519", "ab" * 32, "a:b/c@d=e+f"]
)
AFFIXES = st.sampled_from(["", "o", "or", "orders-1", "1", "s-1", "-1", "rs-1"])
DATES = st.integers(NOW - 2, NOW + 2).map(
    lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
)


def quoted(texts: list[str]) -> str:
    return ", ".join(f'"{text}"' for text in texts)


LISTS = st.lists(TEXTS, min_size=1, max_size=3).map(quoted)
QUERIES = st.one_of(
    st.builds("time($t), $t < {}".format, DATES),
    st.builds("time($t), $t <= {}".format, DATES),
    st.builds("time($t), $t >= {}".format, DATES),
    st.builds("time($t), $t > {}".format, DATES),
    st.builds("delegations($d), $d <= {}".format, st.integers(0, 3)),
    st.builds(
        lambda name, prefix, suffix: (
            f'{name}($v), $v.starts_with("{prefix}"), $v.ends_with("{suffix}"), '
            f"$v.length() >= {len(prefix) + len(suffix)}"
        ),
        NAMES,
        AFFIXES,
        AFFIXES,
    ),
    st.builds('{}("{}")'.format, NAMES, TEXTS),
    st.builds('{}($v), $v == "{}"'.format, NAMES, TEXTS),
    st.builds("{}($v), {{{}}}.contains($v)".format, NAMES, LISTS),
    st.builds("{}($v), [{}].contains($v)".format, NAMES, LISTS),
    st.builds('{}($v), $v.starts_with("{}")'.format, NAMES, TEXTS),
)
CHECKS = st.lists(QUERIES, min_size=1, max_size=3).map(lambda queries: "check if " + " or ".join(queries))
ACCESSES = st.builds(
    Access,
    operation=st.sampled_from(["sign", "verify"]),
    key=st.none() | TEXTS,
    alg=st.none() | TEXTS,
    digest=st.none() | TEXTS,
    client_cert=st.none() | TEXTS,
    time=st.integers(NOW - 2, NOW + 2),
    delegations=st.integers(0, 3),
)
PAIR = KeyPair()


def token(blocks: list[list[str]]) -> Biscuit:
    made = BiscuitBuilder('tenant("a"); right("sign", "*")').build(PAIR.private_key)
    for checks in blocks:
        made = made.append(BlockBuilder(";".join(checks)))
    return made


def library_allows(made: Biscuit, access: Access) -> bool:
    try:
        authorize(made, access)
    except AuthorizationError:
        return False
    return True


@settings(max_examples=500, deadline=None)
@given(blocks=st.lists(st.lists(CHECKS, min_size=1, max_size=3), min_size=1, max_size=3), access=ACCESSES)
def test_agrees_with_the_library(blocks: list[list[str]], access: Access) -> None:
    made = token(blocks)
    assert token_shape(bytes(made.to_bytes())) == (len(blocks) + 1, len(blocks) + 1)
    printed = [
        line.removesuffix(";")
        for index in range(1, made.block_count())
        for line in made.block_source(index).splitlines()
    ]
    compiled = compile_checks(printed)
    assert compiled is not None
    in_time = compiled.deadline is None or access.time < compiled.deadline
    granted = in_time and all(holds(access) for holds in compiled.predicates)
    assert granted == library_allows(made, access)


@pytest.mark.parametrize(
    "check",
    [
        'check all key($k), $k == "a"',
        'reject if key("a")',
        'check if key($k), $k != "a"',
        'check if key($k), $k.ends_with("a")',
        'check if key($k), {"a"}.contains($k) || $k.starts_with("b")',
        'check if key($k), {"a"}.contains($j)',
        'check if tenant("a")',
        "check if true",
        "check if time($t), $t == 2026-01-01T00:00:00Z",
        "check if time($t), $s > 2026-01-01T00:00:00Z",
        "check if delegations($d), $d < 3",
        "check if delegations($d), $d >= 3",
        "check if delegations($d), $d <= -1",
        'check if delegations("1")',
        'check if key($k), $k.starts_with("a"), $k.ends_with("b")',
        'check if key($k), $k.starts_with("a"), $k.ends_with("b"), $k.length() >= 1',
        'check if key($k), $k.starts_with("a"), $j.ends_with("b"), $k.length() >= 2',
        "check if time($t), $t < 2026-02-30T00:00:00Z",
        'check if key("a") or tenant("a")',
        'check if key("a"), alg("b")',
        'check if key("a")\n',
        "",
    ],
)
def test_beyond_the_closed_set(check: str) -> None:
    assert compile_checks([check]) is None


@pytest.mark.parametrize("name", ["a b", 'a"b', "a;b", "a(b", "a,b", "a\nb", "ä", "a$b", "a{b", "x" * 257])
def test_symbols_that_make_the_printed_form_ambiguous(name: str) -> None:
    block = BlockBuilder("check if key({name})", {"name": name})
    made = BiscuitBuilder('tenant("a"); right("sign", "*")').build(PAIR.private_key).append(block)
    assert token_shape(bytes(made.to_bytes())) == (2, 1)
