"""Inheritance, locks and exceptions, and that a lock only ever shrinks what is accepted."""

from __future__ import annotations

from itertools import product

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ronkms.domain.algorithm import ALGORITHMS
from ronkms.errors import BadRequest, Conflict, IntegrityError
from ronkms.policy.entry import (
    DefaultsSet,
    Entry,
    Excepted,
    ExceptionEnded,
    Locked,
    ScopeSet,
    encode_entry,
)
from ronkms.policy.pq import AcceptSet, VerifyMode
from ronkms.policy.state import MAX_EXCEPTION_SECONDS, PolicyState
from tests.unit.capability.issuer import START, SettableClock

OR, AND, PQ_ONLY = VerifyMode
NOW = int(START)


class Policy:
    """A state, and the number of its last entry."""

    def __init__(self) -> None:
        self.clock = SettableClock()
        self.state = PolicyState(self.clock)
        self.seq = 0

    def do(self, entry: Entry) -> None:
        self.state.check(entry)
        self.seq += 1
        self.state.apply(self.seq, encode_entry(entry))

    def set(self, mode: VerifyMode | None, key_id: str = "") -> None:
        self.do(ScopeSet(tenant="t", key_id=key_id, verify_mode=mode, at=NOW))

    def lock(self, key_id: str = "") -> None:
        floor = self.state.standing("t", key_id)
        self.do(
            Locked(
                tenant="t",
                key_id=key_id,
                verify_mode=floor.mode,
                classical_excluded=floor.classical_excluded,
                at=NOW,
            )
        )

    def default(self, mode: VerifyMode) -> None:
        self.do(DefaultsSet(mode, False, 0, NOW))

    def exception(self, mode: VerifyMode, key_id: str = "", ttl: int = 60) -> None:
        self.do(
            Excepted(
                tenant="t",
                key_id=key_id,
                name="x-1",
                reason="migration",
                verify_mode=mode,
                expires_at=self.state.now() + ttl,
                requested_by="a",
                approved_by="b",
                at=NOW,
            )
        )

    def mode(self, key_id: str = "") -> VerifyMode:
        return self.state.decide("t", key_id).mode


@pytest.fixture
def policy() -> Policy:
    return Policy()


def test_a_key_inherits_from_its_tenant_and_a_tenant_from_the_settings(policy: Policy) -> None:
    policy.default(OR)
    assert (policy.mode(), policy.mode("k")) == (OR, OR)
    policy.set(AND)
    policy.set(PQ_ONLY, "k")
    assert (policy.mode(), policy.mode("k"), policy.mode("other")) == (AND, PQ_ONLY, AND)
    assert policy.state.decide("u", "k").mode is OR
    sources = [policy.state.source("t", key, "verify_mode") for key in ("", "k", "other")]
    assert sources == ["tenant", "key", "tenant"]
    policy.set(None, "k")
    policy.set(None)
    assert policy.mode("k") is OR
    assert policy.state.source("t", "k", "verify_mode") == "default"


@pytest.mark.parametrize("looser", [OR, PQ_ONLY, None])
def test_a_lock_refuses_a_looser_mode(policy: Policy, looser: VerifyMode | None) -> None:
    policy.default(OR)
    policy.set(AND)
    policy.lock()
    for key_id in ("", "k"):
        if looser is None and key_id:
            continue
        with pytest.raises(Conflict, match="locked at and"):
            policy.set(looser, key_id)
    assert policy.mode("k") is AND


def test_a_lock_goes_on_with_what_is_tightened(policy: Policy) -> None:
    policy.set(OR)
    policy.lock()
    policy.set(PQ_ONLY)
    policy.set(AND)
    decision = policy.state.decide("t", "k")
    # "and" by itself would take a classical signature, which pq_only had ruled out.
    assert decision.accept == AcceptSet(AND, classical_excluded=True)


def test_other_settings_at_a_restart_do_not_loosen_a_lock(policy: Policy) -> None:
    policy.default(PQ_ONLY)
    policy.lock()
    policy.default(OR)
    assert policy.state.decide("t", "k").accept == AcceptSet.of(PQ_ONLY)
    policy.default(AND)
    policy.default(OR)
    assert policy.state.decide("t", "k").accept == AcceptSet(AND, classical_excluded=True)


def test_the_rollout_of_a_locked_tenant_can_still_be_set(policy: Policy) -> None:
    policy.default(AND)
    policy.lock()
    policy.default(OR)
    policy.do(ScopeSet(tenant="t", produce_hybrid=True, rollout_percent=10, at=NOW))
    assert policy.state.decide("t", "k").rollout_percent == 10
    assert policy.mode() is AND


def test_a_key_is_never_looser_than_its_tenants_lock(policy: Policy) -> None:
    policy.set(OR, "k")
    policy.lock("k")
    assert policy.mode("k") is OR
    policy.set(AND)
    policy.lock()
    assert policy.mode("k") is AND


def test_an_exception_loosens_for_its_time_and_leaves_the_lock(policy: Policy) -> None:
    policy.set(AND)
    policy.lock()
    policy.exception(OR)
    assert policy.state.decide("t", "k").temporary
    assert policy.mode("k") is OR
    with pytest.raises(Conflict, match="another exception"):
        policy.exception(PQ_ONLY)
    policy.clock.pass_seconds(59)
    assert policy.mode() is OR
    assert policy.state.expired() == []
    policy.clock.pass_seconds(1)
    assert policy.mode() is AND
    assert [one.name for one in policy.state.expired()] == ["x-1"]
    policy.do(ExceptionEnded(tenant="t", name="x-1", at=NOW))
    assert policy.state.expired() == []


def test_a_clock_set_back_does_not_lengthen_an_exception(policy: Policy) -> None:
    policy.set(AND)
    policy.lock()
    policy.exception(OR)
    policy.clock.pass_seconds(60)
    policy.clock.unix -= 3600
    assert policy.mode() is AND


def test_a_tenants_exception_leaves_what_a_key_has_of_its_own(policy: Policy) -> None:
    policy.set(AND, "locked")
    policy.lock("locked")
    policy.set(AND)
    policy.lock()
    policy.exception(OR)
    assert (policy.mode("locked"), policy.mode("free")) == (AND, OR)
    policy.exception(PQ_ONLY, "locked")
    assert policy.mode("locked") is PQ_ONLY


@pytest.mark.parametrize("ttl", [0, -1, MAX_EXCEPTION_SECONDS + 1])
def test_an_exception_has_an_end(policy: Policy, ttl: int) -> None:
    policy.lock()
    with pytest.raises(BadRequest, match="30 days"):
        policy.exception(OR, ttl=ttl)


def test_an_exception_needs_a_lock_and_an_end_an_exception(policy: Policy) -> None:
    with pytest.raises(Conflict, match="nothing is locked"):
        policy.exception(OR)
    with pytest.raises(Conflict, match="no exception x-1"):
        policy.do(ExceptionEnded(tenant="t", name="x-1", at=NOW))


@pytest.mark.parametrize(
    "entry", [b"{}", b'{"type":"unlock","tenant":"t","at":1}', b'{"type":"set","tenant":"t"}']
)
def test_an_unknown_entry_is_refused(policy: Policy, entry: bytes) -> None:
    with pytest.raises(IntegrityError, match="entry 1 is of an unknown form"):
        policy.state.apply(1, entry)


_KEYS = ("a", "b")
_SCOPES = st.sampled_from(("", *_KEYS))
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), _SCOPES, st.sampled_from([OR, AND, PQ_ONLY, None])),
        st.tuples(st.just("lock"), _SCOPES, st.none()),
        st.tuples(st.just("default"), st.just(""), st.sampled_from([OR, AND, PQ_ONLY])),
        st.tuples(st.just("exception"), _SCOPES, st.sampled_from([OR, AND, PQ_ONLY])),
        st.tuples(st.just("reopen"), st.just(""), st.none()),
    ),
    max_size=25,
)


def _accepted(accept: AcceptSet) -> set[tuple[str, tuple[bool, ...]]]:
    """Every algorithm with every verdict on its components that counts as valid."""
    return {
        (row.name, verdicts)
        for row in ALGORITHMS.values()
        if row.components
        for verdicts in product((False, True), repeat=len(row.components))
        if accept.accepts(row, verdicts)
    }


def _reopened(old: Policy) -> Policy:
    """What the compacted journal adds up to."""
    new = Policy()
    new.clock = old.clock
    new.state = PolicyState(old.clock)
    entries = list(old.state.live_entries())
    assert len(entries) == old.state.live_count()
    for new.seq, entry in enumerate(entries, 1):
        new.state.apply(new.seq, entry)
    return new


@settings(max_examples=300, deadline=None)
@given(_STEPS)
def test_what_is_locked_never_accepts_more(steps: list[tuple[str, str, VerifyMode | None]]) -> None:
    policy = Policy()
    locked: dict[str, set[tuple[str, tuple[bool, ...]]]] = {}
    for step, scope, mode in steps:
        if step == "reopen":
            policy = _reopened(policy)
        elif step == "lock":
            policy.lock(scope)
        elif step == "default":
            policy.default(mode or AND)
        elif step == "set":
            try:
                policy.set(mode, scope)
            except Conflict:
                assert {"", scope} & policy.state.tenant("t").floors.keys()
        else:  # one that is over again leaves no trace
            try:
                policy.exception(mode or OR, scope)
            except Conflict:
                continue
            policy.clock.pass_seconds(60)
            policy.do(ExceptionEnded(tenant="t", key_id=scope, name="x-1", at=NOW))
        for key in ("", *_KEYS):
            if {"", key} & policy.state.tenant("t").floors.keys():
                accepted = _accepted(policy.state.decide("t", key).accept)
                assert accepted <= locked.get(key, accepted)
                locked[key] = accepted


@given(st.sampled_from(list(VerifyMode)), st.sampled_from(list(VerifyMode)), st.booleans(), st.booleans())
def test_join_and_within_are_about_what_is_accepted(
    one: VerifyMode, two: VerifyMode, excluded: bool, also: bool
) -> None:
    first = msgspec.structs.replace(AcceptSet.of(one), classical_excluded=excluded or one is PQ_ONLY)
    second = msgspec.structs.replace(AcceptSet.of(two), classical_excluded=also or two is PQ_ONLY)
    joined = first.join(second)
    assert _accepted(joined) <= _accepted(first) & _accepted(second)
    assert joined.within(first)
    assert joined.within(second)
    if first.within(second):
        assert _accepted(first) <= _accepted(second)
