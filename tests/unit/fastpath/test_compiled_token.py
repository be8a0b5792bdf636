"""The native decision on a token and the general one agree, on the checks of the closed set."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ronkms._fastpath import CompiledToken
from ronkms.capability import pattern
from ronkms.capability.access import FACTS, Access
from ronkms.capability.checks import Alternatives, CompiledChecks, Query

OPERATIONS = ("sign", "verify")
KEYS = ("orders-1", "orders-2", "orders", "a", "invoices.x")
ALGS = ("Ed25519", "ML-DSA-65")
DIGESTS = ("ab" * 32, "cd" * 32)
CERTS = ("", "12" * 32, "34" * 32)
TEXTS = (*OPERATIONS, *KEYS, *ALGS, *DIGESTS, *CERTS, "order")
NOW = 1_800_000_000

patterns = st.text(alphabet="ord-12*e", min_size=1, max_size=10)
facts = st.integers(0, len(FACTS) - 1)
affixes = st.sampled_from((*TEXTS, "", "1", "-1", "rs-1", "orders-1"))
queries: st.SearchStrategy[Query] = st.one_of(
    st.tuples(st.just("time"), st.integers(NOW - 2, NOW + 2)),
    st.tuples(st.just("since"), st.integers(NOW - 2, NOW + 2)),
    st.tuples(st.just("delegations"), st.integers(0, 4)),
    st.tuples(st.just("member"), facts, st.frozensets(st.sampled_from(TEXTS), min_size=1)),
    st.tuples(st.just("prefix"), facts, affixes),
    st.tuples(st.just("affix"), facts, affixes, affixes),
)
checks: st.SearchStrategy[Alternatives] = st.lists(queries, min_size=1, max_size=3).map(tuple)
rights = st.lists(st.tuples(st.integers(0, 1), patterns), min_size=1, max_size=4)


@given(
    granted=rights,
    compiled=st.lists(checks, max_size=4),
    operation=st.integers(0, 1),
    key=st.sampled_from(KEYS),
    alg=st.sampled_from(ALGS),
    digest=st.sampled_from(DIGESTS),
    cert=st.sampled_from(CERTS),
    delegations=st.integers(0, 4),
)
@example(
    granted=[(0, "*")],
    compiled=[(("member", 1, frozenset({"orders-1"})),), (("time", NOW),)],
    operation=0,
    key="orders-1",
    alg="Ed25519",
    digest=DIGESTS[0],
    cert="",
    delegations=0,
)
def test_the_decision_is_that_of_the_general_path(
    granted: list[tuple[int, str]],
    compiled: list[Alternatives],
    operation: int,
    key: str,
    alg: str,
    digest: str,
    cert: str,
    delegations: int,
) -> None:
    native = CompiledToken(
        b"t",
        b"",
        NOW + 10,
        0.0,
        [(op, each.encode()) for op, each in granted],
        [list(c) for c in compiled],
        delegations,
    )
    access = Access(OPERATIONS[operation], key, alg, digest, cert or None, NOW, delegations)
    expected = any(op == operation and pattern.matches(each, key) for op, each in granted) and all(
        holds(access)
        for holds in CompiledChecks(None, tuple(compiled), tuple(range(len(compiled)))).predicates
    )
    decided = native.decide(operation, key.encode(), alg.encode(), digest.encode(), cert.encode(), NOW)
    assert decided is expected


@given(granted=patterns, key=st.text(alphabet="ord-12e", min_size=1, max_size=12))
def test_patterns_match_as_globs(granted: str, key: str) -> None:
    native = CompiledToken(b"t", b"", NOW, 0.0, [(0, granted.encode())], [], 0)
    assert native.decide(0, key.encode(), b"", b"", b"", NOW) is fnmatchcase(key, granted)
    assert pattern.matches(granted, key) is fnmatchcase(key, granted)


def test_no_right_is_no_grant() -> None:
    assert CompiledToken(b"t", b"", NOW, 0.0, [], [], 0).decide(0, b"a", b"", b"", b"", NOW) is False


@pytest.mark.parametrize("fact", [-1, len(FACTS), 1 << 20])
def test_a_fact_that_is_not_stated_here_is_refused(fact: int) -> None:
    with pytest.raises(ValueError, match="which no request states here"):
        CompiledToken(b"t", b"", NOW + 10, 0.0, [(0, b"*")], [[("member", fact, frozenset({"x"}))]], 0)


def test_a_check_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(KeyError):
        CompiledToken(b"t", b"", NOW + 10, 0.0, [(0, b"*")], [[("suffix", 1, "x")]], 0)
