"""Which signatures count under which verify mode."""

from __future__ import annotations

import pytest

from ronkms.domain.algorithm import ALGORITHMS
from ronkms.errors import PqPolicyRejected
from ronkms.policy.pq import AcceptSet, VerifyMode

ED25519 = ALGORITHMS["Ed25519"]
ML_DSA = ALGORITHMS["ML-DSA-65"]
HYBRID = ALGORITHMS["MLDSA65-Ed25519-SHA512"]
OR, AND, PQ_ONLY = VerifyMode


@pytest.mark.parametrize(
    ("verdicts", "accepted_by"),
    [
        ((True, True), {OR, AND, PQ_ONLY}),
        ((True, False), {OR, PQ_ONLY}),
        ((False, True), {OR}),
        ((False, False), set()),
    ],
)
def test_a_hybrid_counts_its_components(verdicts: tuple[bool, bool], accepted_by: set[VerifyMode]) -> None:
    assert {mode for mode in VerifyMode if AcceptSet.of(mode).accepts(HYBRID, verdicts)} == accepted_by


@pytest.mark.parametrize("mode", list(VerifyMode))
def test_no_mode_accepts_without_verdicts(mode: VerifyMode) -> None:
    assert AcceptSet.of(mode).accepts(ML_DSA, ()) is False


def test_pq_only_excludes_what_is_purely_classical() -> None:
    accept = AcceptSet.of(PQ_ONLY)
    for row in (ML_DSA, HYBRID):
        accept.require(row)
    with pytest.raises(PqPolicyRejected, match="asks for a post-quantum component"):
        accept.require(ED25519)
    assert accept.accepts(ED25519, (True,)) is False


def test_and_can_exclude_what_is_purely_classical_too() -> None:
    accept = AcceptSet.of(PQ_ONLY).join(AcceptSet.of(AND))
    assert accept == AcceptSet(AND, classical_excluded=True)
    with pytest.raises(PqPolicyRejected):
        accept.require(ED25519)
    assert accept.accepts(HYBRID, (True, True))
    assert not accept.accepts(HYBRID, (True, False))


@pytest.mark.parametrize("mode", [OR, AND])
@pytest.mark.parametrize("alg", [row.name for row in ALGORITHMS.values() if row.components])
def test_the_other_modes_exclude_nothing(mode: VerifyMode, alg: str) -> None:
    policy = AcceptSet.of(mode)
    policy.require(ALGORITHMS[alg])
    everything = tuple(True for _ in ALGORITHMS[alg].components)
    assert policy.accepts(ALGORITHMS[alg], everything)
    assert not policy.accepts(ALGORITHMS[alg], tuple(not each for each in everything))
