"""A key that is disabled in stages: of its requests a growing share is refused. Immutable values, no I/O."""

from __future__ import annotations

from typing import Final

import msgspec

MAX_STAGE_SECONDS: Final = 365 * 24 * 3600


class StagedDisable(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The share grows from ``start`` to ``percent`` within ``over`` seconds from ``since`` on."""

    percent: int
    """1 to 100, at the end. With 100 the key becomes disabled then."""
    since: int
    """Unix seconds."""
    over: int = 0
    """0: at once."""
    start: float = 0.0
    """In percent."""

    def share(self, now: float) -> float:
        """What is refused at ``now``, in percent."""
        passed = now - self.since
        if passed >= self.over:
            return float(self.percent)
        return self.start + (self.percent - self.start) * max(passed, 0.0) / self.over

    def complete(self, now: float) -> bool:
        """Whether everything is refused at ``now``, so that the key should be disabled."""
        return self.percent == 100 and now >= self.since + self.over
