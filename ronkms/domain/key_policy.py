"""What a key may be used for and when: immutable values, no I/O. Times are Unix seconds, UTC."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from ronkms.domain.algorithm import ALGORITHMS, Algorithm
from ronkms.errors import BadRequest

SignatureFormat = Literal["der", "p1363"]

MAX_TIME: Final = 253_402_300_799
"""The last second of the year 9999."""
MAX_OPERATIONS: Final = 2**53 - 1
"""The largest number that every JSON reader takes as it is."""
MIN_ROTATION_SECONDS: Final = 60
MAX_ROTATION_SECONDS: Final = 10 * 365 * 24 * 3600


class KeyPolicy(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """Of a whole key. What has its default is left out where it is written."""

    mu: bool = False
    """The key signs an external mu (ML-DSA)."""
    not_before: int | None = None
    """The first second in which the key does anything."""
    not_after: int | None = None
    """The first second in which it does nothing any more."""
    min_version: int = 1
    """Versions below it do nothing, whatever their state."""
    rotation_period_seconds: int | None = None
    """Age of the newest version at which the service makes the next one."""
    max_operations: int | None = None
    """How often one version signs or wraps."""
    algs: tuple[str, ...] | None = None
    """Versions of other algorithms do nothing, and none are made; None: any of the key's usage."""
    prehashed: bool = True
    """The key signs digests that the caller made."""
    signature_formats: tuple[SignatureFormat, ...] | None = None
    """Those in which the key signs (ECDSA); None: both."""

    def allows(self, alg: str) -> bool:
        """Whether versions of that algorithm may do anything."""
        return self.algs is None or alg in self.algs

    @property
    def windowed(self) -> bool:
        """Whether the use of the key depends on the time."""
        return self.not_before is not None or self.not_after is not None

    def expired(self, now: float) -> bool:
        """Whether the window has passed."""
        return self.not_after is not None and now >= self.not_after

    def check(self, row: Algorithm, *, versions: int, imported: bool) -> None:
        """Raises BadRequest unless a key of that algorithm with so many versions can have this policy.

        ``imported``: where the newest version came from; the service makes no versions of such a key."""
        if self.mu and not row.mu:
            raise BadRequest(f"{row.name} takes no mu", field="/policy/mu")
        self._check_algs(row)
        if self.signature_formats is not None and not row.der:
            raise BadRequest(f"{row.name} has one signature format", field="/policy/signature_formats")
        for name in ("not_before", "not_after"):
            _check_range(name, getattr(self, name), 0, MAX_TIME)
        if self.not_before is not None and self.not_after is not None and self.not_before >= self.not_after:
            raise BadRequest("not_after must be later than not_before", field="/policy/not_after")
        if not 1 <= self.min_version <= versions:
            raise BadRequest(
                f"min_version must be 1 to {versions}, the newest version", field="/policy/min_version"
            )
        _check_range("max_operations", self.max_operations, 1, MAX_OPERATIONS)
        period = self.rotation_period_seconds
        _check_range("rotation_period_seconds", period, MIN_ROTATION_SECONDS, MAX_ROTATION_SECONDS)
        if period is not None and imported:
            raise BadRequest(
                "an imported key is not rotated by the service; import its next version",
                field="/policy/rotation_period_seconds",
            )

    def _check_algs(self, row: Algorithm) -> None:
        for name in self.algs or ():
            other = ALGORITHMS.get(name)
            if other is None or other.usage is not row.usage:
                raise BadRequest(f"algs: {name[:32]!r} is no algorithm for {row.usage}", field="/policy/algs")
        if not self.allows(row.name):
            raise BadRequest(
                f"algs must contain {row.name}, the algorithm of the newest version; disable the key instead",
                field="/policy/algs",
            )


class PolicyChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is left out stays; None takes a limit away."""

    mu: bool | UnsetType = UNSET
    not_before: int | UnsetType | None = UNSET
    not_after: int | UnsetType | None = UNSET
    min_version: int | UnsetType = UNSET
    rotation_period_seconds: int | UnsetType | None = UNSET
    max_operations: int | UnsetType | None = UNSET
    algs: tuple[str, ...] | UnsetType | None = UNSET
    prehashed: bool | UnsetType = UNSET
    signature_formats: tuple[SignatureFormat, ...] | UnsetType | None = UNSET

    def applied(self, policy: KeyPolicy) -> KeyPolicy:
        """``policy`` after the change, not checked yet."""
        given = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not UNSET}
        return msgspec.structs.replace(policy, **given)


def _check_range(name: str, value: int | None, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:
        raise BadRequest(f"{name} must be {least} to {most}", field=f"/policy/{name}")
