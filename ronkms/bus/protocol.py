"""What the service asks of the event bus (topic ``kms``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Bus(Protocol):
    """Events: Health, ConfigUpdated, KeyRotated, KeyStateChanged, PolicyChanged, BackendDown, BackendUp,
    ServiceCrashed, Shutdown. An event holds names and numbers, never a secret."""

    name: str

    def publish(self, event: str, fields: Mapping[str, str | int]) -> None:
        """Durable in the local journal when it returns. Never raises for a full or slow subscriber."""

    def missing(self) -> list[str]:
        """What keeps the bus from being ready; empty when subscribed."""

    def after_fork(self) -> None:
        """To be called in each child."""
