"""The post-quantum policy: which algorithms and which components of a hybrid signature count."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from ronkms.domain.algorithm import ALGORITHMS, Algorithm
from ronkms.errors import PqPolicyRejected


class VerifyMode(StrEnum):
    """Which components of a signature must verify. ``KMS_PQ_VERIFY_MODE``."""

    OR = "or"
    AND = "and"
    PQ_ONLY = "pq_only"


RANK: Final = {VerifyMode.OR: 0, VerifyMode.PQ_ONLY: 1, VerifyMode.AND: 2}
"""The order of the ratchet: what a hybrid signature must show, from least to most."""


def _is_post_quantum(component: str) -> bool:
    return component.startswith(("ML-DSA-", "SLH-DSA-"))


_PQ_COMPONENTS: Final = {
    row.name: tuple(_is_post_quantum(component) for component in row.components)
    for row in ALGORITHMS.values()
}


def is_classical(alg: str) -> bool:
    """True for a signature algorithm without any post-quantum component."""
    counts = _PQ_COMPONENTS[alg]
    return bool(counts) and not any(counts)


class AcceptSet(msgspec.Struct, frozen=True, gc=False):
    """Which signatures count as valid.

    ``and`` by itself accepts classical keys, ``pq_only`` does not, though ``and`` asks more of a hybrid one.
    ``classical_excluded`` keeps the exclusion when a lock goes from ``pq_only`` on to ``and``; it is always
    true for ``pq_only``.
    """

    mode: VerifyMode
    classical_excluded: bool = False

    @classmethod
    def of(cls, mode: VerifyMode) -> AcceptSet:
        """What ``mode`` alone accepts."""
        return cls(mode, mode is VerifyMode.PQ_ONLY)

    def join(self, other: AcceptSet) -> AcceptSet:
        """The largest set that both contain and a mode can express."""
        mode = max(self.mode, other.mode, key=RANK.__getitem__)
        return AcceptSet(mode, self.classical_excluded or other.classical_excluded)

    def within(self, other: AcceptSet) -> bool:
        """True if this accepts nothing that ``other`` does not."""
        return RANK[self.mode] >= RANK[other.mode] and (
            self.classical_excluded or not other.classical_excluded
        )

    def allows(self, row: Algorithm) -> bool:
        """False if the algorithm is excluded, whatever the signature: a purely classical one."""
        return not (self.classical_excluded and is_classical(row.name))

    def require(self, row: Algorithm) -> None:
        """Raises PqPolicyRejected if the algorithm is excluded."""
        if not self.allows(row):
            raise PqPolicyRejected(
                f"the policy (verify mode {self.mode.value}) asks for a post-quantum component, ML-DSA or"
                f" SLH-DSA, and so excludes the classical algorithm {row.name}; sign with a post-quantum or"
                " hybrid key, or ask the operator for another KMS_PQ_VERIFY_MODE (ronctl policy set)"
            )

    def accepts(self, row: Algorithm, verdicts: tuple[bool, ...]) -> bool:
        """Whether the signature counts as valid, from one verdict a component; never without verdicts."""
        if not verdicts or not self.allows(row):
            return False
        if self.mode is VerifyMode.AND:
            return all(verdicts)
        if self.mode is VerifyMode.OR:
            return any(verdicts)
        counted = [
            verdict for verdict, counts in zip(verdicts, _PQ_COMPONENTS[row.name], strict=True) if counts
        ]
        return bool(counted) and all(counted)
