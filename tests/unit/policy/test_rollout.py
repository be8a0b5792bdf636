"""Which keys the rollout selects, and which version signs."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronkms.domain.algorithm import Usage
from ronkms.domain.key import Key, KeyState, KeyVersion, Origin
from ronkms.domain.key_policy import KeyPolicy
from ronkms.policy.decision import Decision
from ronkms.policy.pq import AcceptSet, VerifyMode
from ronkms.policy.rollout import lacks_hybrid, selected, signing_version

HYBRID = "MLDSA65-Ed25519-SHA512"
OFF = Decision(accept=AcceptSet.of(VerifyMode.OR))
ALL = Decision(accept=AcceptSet.of(VerifyMode.OR), produce_hybrid=True, rollout_percent=100)
PHASE_3 = Decision(accept=AcceptSet.of(VerifyMode.PQ_ONLY), produce_hybrid=True)


def _key(*algs: str, disabled: tuple[int, ...] = ()) -> Key:
    versions = {
        number: KeyVersion(
            number=number,
            alg=alg,
            state=KeyState.DISABLED if number in disabled else KeyState.ENABLED,
            origin=Origin.GENERATED,
            created_at=0,
            public=b"",
            record_digest=b"",
        )
        for number, alg in enumerate(algs, 1)
    }
    return Key(
        tenant="t",
        key_id="k",
        alg=algs[-1],
        usage=Usage.SIGN,
        backend="file",
        state=KeyState.ENABLED,
        created_at=0,
        epoch=1,
        labels={},
        policy=KeyPolicy(),
        versions=versions,
    )


@pytest.mark.parametrize("percent", [0, 10, 50, 100])
def test_the_share_of_a_thousand_keys_is_the_percentage(percent: int) -> None:
    chosen = sum(selected("acme", f"key-{number}", percent) for number in range(1000))
    assert abs(chosen / 10 - percent) <= 3


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_key_does_not_flip_back(tenant: str, key_id: str) -> None:
    places = [selected(tenant, key_id, percent) for percent in range(101)]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (False, True)


def test_the_selection_is_the_documented_one() -> None:
    data = b"\0\0\0\x12ron-kms rollout v1\0\0\0\4acme\0\0\0\1k"
    place = int.from_bytes(hashlib.sha256(data).digest()[:8], "big") / 2**64
    assert [selected("acme", "k", percent) for percent in range(101)] == [
        place < percent / 100 for percent in range(101)
    ]


@pytest.mark.parametrize(
    ("algs", "decision", "signs"),
    [
        (("Ed25519", HYBRID), OFF, 1),
        (("Ed25519", HYBRID), ALL, 2),
        (("Ed25519", HYBRID, "Ed25519"), ALL, 2),
        (("Ed25519", HYBRID, HYBRID), OFF, 1),
        (("Ed25519", "Ed25519"), ALL, 2),
        ((HYBRID, HYBRID), OFF, 2),
        (("ML-DSA-65", "ML-DSA-65"), ALL, 2),
        (("Ed25519", HYBRID, "Ed25519"), PHASE_3, 2),
    ],
)
def test_the_newest_of_the_wanted_kind_signs(algs: tuple[str, ...], decision: Decision, signs: int) -> None:
    assert signing_version(_key(*algs), decision).number == signs


def test_a_disabled_version_does_not_sign_and_is_not_made_again() -> None:
    key = _key("Ed25519", HYBRID, disabled=(2,))
    assert signing_version(key, ALL).number == 1
    assert not lacks_hybrid(key, ALL)
    assert lacks_hybrid(_key("Ed25519"), ALL)
    assert not lacks_hybrid(_key("Ed25519"), OFF)
    assert not lacks_hybrid(_key("PS256"), ALL)


def test_an_input_that_no_composite_takes_is_signed_by_the_classical_version() -> None:
    assert signing_version(_key("Ed25519", HYBRID), ALL, hybrid_fits=False).number == 1
    assert signing_version(_key(HYBRID), ALL, hybrid_fits=False).number == 1
