"""How a key was used: immutable values, no I/O. Times are Unix seconds, UTC."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class UseName(NamedTuple):
    """What uses are summed up by."""

    version: int
    """0: not known; a request was refused before a version was looked for."""
    op: str
    """``sign``, ``verify``, ``wrap`` or ``unwrap``."""
    refused: bool
    """An attempt that met a disabled key."""


class Uses(msgspec.Struct, kw_only=True, gc=False):
    """Uses of one kind."""

    first: int
    last: int
    token: str
    """Who used it last: the token's id, as in the audit log."""
    count: int

    def add(self, later: Uses) -> None:
        """Adds what came after."""
        self.last, self.token = later.last, later.token
        self.count += later.count


class KeyUsage(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one key."""

    totals: dict[UseName, Uses]
    users: dict[tuple[UseName, str], Uses]
    """By token too; the 16 tokens of each kind that came last."""
    since: int | None
    """From when on uses are known; None: nothing was recorded yet."""
    complete: bool
    """False: the newest uses are not known."""

    def last(self, version: int | None = None) -> tuple[UseName, Uses] | None:
        """The latest use or refused attempt, of one version or of the whole key."""
        fits = [(name, uses) for name, uses in self.totals.items() if version in (None, name.version)]
        return max(fits, key=lambda found: found[1].last, default=None)
