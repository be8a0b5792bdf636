"""A bus in memory."""

from __future__ import annotations

from collections.abc import Mapping


class FakeBus:
    """``events`` in order."""

    name = "fake"

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, str | int]]] = []

    def publish(self, event: str, fields: Mapping[str, str | int]) -> None:
        self.events.append((event, dict(fields)))

    def missing(self) -> list[str]:
        return []

    def after_fork(self) -> None:
        """Nothing to reopen."""
