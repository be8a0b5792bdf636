"""Remembers other journals, as the key store does."""

from __future__ import annotations

from ronkms.errors import BackendUnavailable
from ronkms.journal import JournalAnchor


class FakeAnchors:
    """``broken`` refuses to remember."""

    def __init__(self) -> None:
        self.anchors: dict[str, JournalAnchor] = {}
        self.broken = False

    def anchor(self, journal: str) -> JournalAnchor | None:
        return self.anchors.get(journal)

    def set_anchor(self, journal: str, anchor: JournalAnchor) -> None:
        if self.broken:
            raise BackendUnavailable("disk")
        kept = self.anchors.get(journal, JournalAnchor(0)).keep
        self.anchors[journal] = JournalAnchor(anchor.seq, {**kept, **anchor.keep})
