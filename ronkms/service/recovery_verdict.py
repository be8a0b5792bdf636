"""What a start finds out about an operation that was cut off."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """As the recovered outcome names it."""

    COMMITTED = "committed"
    NOT_COMMITTED = "not committed"
    UNKNOWN = "unknown"
    """The store shows what is in force, but not which of several requests made it so."""
