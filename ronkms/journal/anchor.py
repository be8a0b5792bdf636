"""What one sealed journal remembers of another, so that the other cannot be lost or rolled back unnoticed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec


class JournalAnchor(msgspec.Struct, frozen=True):
    """The other journal had ``seq`` entries, its header counted. ``keep``: entries of it (JSON) that must
    outlive its loss, by what they are about."""

    seq: int
    keep: Mapping[str, str] = {}


class AnchorKeeper(Protocol):
    """``ronkms.store.file_store.FileStore``: keys and what protects them stand and fall together."""

    def anchor(self, journal: str) -> JournalAnchor | None:
        """Of the journal of that name; None if there never was one."""

    def set_anchor(self, journal: str, anchor: JournalAnchor) -> None:
        """Durable when it returns; ``keep`` is added to what is kept already. Raises BackendUnavailable."""
