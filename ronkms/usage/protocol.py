"""What the service asks about the uses of keys."""

from __future__ import annotations

from typing import Protocol

from ronkms.domain.key_use import KeyUsage


class UsageReader(Protocol):
    """Knows every use whose answer has left."""

    def of(self, tenant: str, key_id: str) -> KeyUsage:
        """The uses of one key, those of the last moment included. Raises BackendUnavailable (the disk)."""
