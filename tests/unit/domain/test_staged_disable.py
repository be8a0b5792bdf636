"""The share of requests that a key refuses while it is disabled in stages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ronkms.domain.algorithm import Usage
from ronkms.domain.key import Key, KeyState
from ronkms.domain.key_policy import KeyPolicy
from ronkms.domain.staged_disable import StagedDisable
from ronkms.domain.version_table import VersionTable
from ronkms.errors import Conflict, KeyDisabled

KEY = Key(
    tenant="acme",
    key_id="k",
    alg="Ed25519",
    usage=Usage.SIGN,
    backend="file",
    state=KeyState.ENABLED,
    created_at=0,
    epoch=1,
    labels={},
    policy=KeyPolicy(),
    versions=VersionTable(),
)
STEPS = st.lists(st.tuples(st.integers(1, 100), st.sampled_from([0, 1, 60, 10**6]), st.integers(0, 100)))


def test_a_schedule_is_a_straight_line() -> None:
    staged = StagedDisable(percent=80, since=1000, over=100, start=20.0)
    assert [staged.share(now) for now in (900, 1000, 1050, 1100, 5000)] == [20, 20, 50, 80, 80]
    assert not staged.complete(5000)
    full = StagedDisable(percent=100, since=1000, over=100)
    assert [full.complete(now) for now in (1099, 1100)] == [False, True]


@given(steps=STEPS)
def test_the_share_never_falls(steps: list[tuple[int, int, int]]) -> None:
    key, now, last = KEY, 0, 0.0
    for percent, over, wait in steps:
        try:
            key = replace(key, staged=key.next_stage(percent, over, now))
        except Conflict:
            assert key.staged is not None
            assert percent < key.staged.share(now)
        now += wait
        share = key.staged.share(now) if key.staged else 0.0
        assert share >= last - 1e-4
        assert 0 <= share <= 100
        last = share


def test_only_an_enabled_key_is_staged() -> None:
    with pytest.raises(Conflict):
        replace(KEY, state=KeyState.DISABLED).next_stage(10, 0, 0)


def test_a_request_is_refused_by_its_draw() -> None:
    KEY.require_not_staged(0.0, 0)
    half = replace(KEY, staged=StagedDisable(percent=50, since=0))
    half.require_not_staged(50.0, 1)
    with pytest.raises(KeyDisabled, match="in stages: 50%"):
        half.require_not_staged(49.999, 1)
    with pytest.raises(KeyDisabled):
        replace(KEY, staged=StagedDisable(percent=100, since=0)).require_not_staged(99.999, 1)
