"""The post-quantum policy: which algorithms and which components of a hybrid signature count."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from ronkms.domain.algorithm import ALGORITHMS, Algorithm
from ronkms.errors import PqPolicyRejected


class VerifyMode(StrEnum):
    """Which components of a signature must verify. ``KMS_PQ_VERIFY_MODE``."""

    OR = "or"
    AND = "and"
    PQ_ONLY = "pq_only"


def _is_post_quantum(component: str) -> bool:
    return component.startswith(("ML-DSA-", "SLH-DSA-"))


_PQ_COMPONENTS: Final = {
    row.name: tuple(_is_post_quantum(component) for component in row.components)
    for row in ALGORITHMS.values()
}


class PqPolicy:
    """One mode for all tenants."""

    def __init__(self, verify_mode: str) -> None:
        self._mode = VerifyMode(verify_mode)

    def verify_mode(self, tenant: str) -> VerifyMode:
        """The mode that holds for ``tenant`` now."""
        return self._mode

    def allows(self, mode: VerifyMode, row: Algorithm) -> bool:
        """False if ``mode`` excludes the algorithm: a purely classical one under ``pq_only``."""
        return mode is not VerifyMode.PQ_ONLY or any(_PQ_COMPONENTS[row.name])

    def require(self, mode: VerifyMode, row: Algorithm) -> None:
        """Raises PqPolicyRejected if ``mode`` excludes the algorithm."""
        if not self.allows(mode, row):
            raise PqPolicyRejected(
                f"verify mode pq_only excludes the classical algorithm {row.name}; "
                "sign with a post-quantum or hybrid key, or ask the operator for another KMS_PQ_VERIFY_MODE"
            )

    def accepts(self, mode: VerifyMode, row: Algorithm, verdicts: tuple[bool, ...]) -> bool:
        """Whether the signature counts as valid, from one verdict a component; never without verdicts."""
        if not verdicts:
            return False
        if mode is VerifyMode.AND:
            return all(verdicts)
        if mode is VerifyMode.OR:
            return any(verdicts)
        counted = [
            verdict for verdict, counts in zip(verdicts, _PQ_COMPONENTS[row.name], strict=True) if counts
        ]
        return bool(counted) and all(counted)
