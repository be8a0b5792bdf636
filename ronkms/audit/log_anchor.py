"""What the key store remembers of the log, so that ``audit/`` alone cannot be removed or rolled back
unnoticed (docs/formats/audit.md, "Anchor"). Only with the keys could all trace of it be removed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ronkms.audit.follower import line_of
from ronkms.audit.merkle import leaf_hash
from ronkms.audit.tree_state import tree_reader
from ronkms.errors import IntegrityError
from ronkms.journal import AnchorKeeper, JournalAnchor

NAME: Final = "audit"
_ORIGIN: Final = "origin"
_LEAF: Final = "leaf"


class LogAnchor:
    """``origin``: the log's name. ``keeper`` is written by one process at a time."""

    def __init__(self, directory: Path, origin: str, keeper: AnchorKeeper) -> None:
        self._directory = directory
        self._origin = origin
        self._keeper = keeper

    def fault(self, records: int, leaf: str) -> str:
        """At the start: what the log of ``records`` records, whose last has the leaf hash ``leaf`` (hex),
        lacks of the one that is remembered; empty if nothing. Raises OSError."""
        known = self._keeper.anchor(NAME)
        if known is None:
            return ""
        origin = known.keep.get(_ORIGIN, "")
        if origin != self._origin:
            return f"the key store remembers {known.seq} records of another log, {origin}: audit/ was removed"
        if records < known.seq:
            return (
                f"the log has {records} records, the key store remembers {known.seq}: audit/ was rolled back"
            )
        if known.seq and self._leaf(known.seq - 1, records, leaf) not in ("", known.keep.get(_LEAF)):
            return f"record {known.seq - 1} is another than the key store remembers: audit/ was rolled back"
        return ""

    def remember(self, records: int, leaf: str) -> None:
        """The log's durable head. Raises BackendUnavailable: the older one stays."""
        known = self._keeper.anchor(NAME)
        anchor = JournalAnchor(records, {_ORIGIN: self._origin, _LEAF: leaf})
        if known != anchor:
            self._keeper.set_anchor(NAME, anchor)

    def _leaf(self, record: int, records: int, newest: str) -> str:
        """Hex; empty if it is not to be found."""
        if record == records - 1:
            return newest
        with tree_reader(self._directory) as tree:
            for leaf in tree.nodes(0, record, 1):
                return leaf.hex()
        try:
            return leaf_hash(line_of(self._directory, record)).hex()
        except IntegrityError:
            return ""
