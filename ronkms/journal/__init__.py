"""An append-only, MAC-chained journal that all processes of a server write (docs/formats/journal.md)."""

from ronkms.journal.anchor import AnchorKeeper, JournalAnchor
from ronkms.journal.sealed_journal import ChangeSignal, JournalState, Recovery, SealedJournal

__all__ = ["AnchorKeeper", "ChangeSignal", "JournalAnchor", "JournalState", "Recovery", "SealedJournal"]
