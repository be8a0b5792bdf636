"""Roots and revocations on disk: the sealed journal ``capability/roots`` of the data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ronkms.capability.state import CapabilityState, Entry, encode
from ronkms.journal import ChangeSignal, SealedJournal
from ronkms.journal.durable_file import make_directory
from ronkms.journal.line import Mac

DIRECTORY: Final = "capability"
JOURNAL: Final = "roots"


class CapabilityRegistry:
    """The state that all processes of a server share. Workers read it; the admin process appends to it."""

    def __init__(self, journal: SealedJournal, state: CapabilityState) -> None:
        """Takes over what ``open`` has opened. Call ``open``."""
        self._journal = journal
        self.state = state

    @classmethod
    def open(cls, data_directory: Path, *, mac: Mac, signal: ChangeSignal) -> CapabilityRegistry:
        """Parent process, before it forks. Makes the directory if need be.

        ``signal`` is the arena's generation CAPABILITY. Raises IntegrityError, OSError."""
        directory = data_directory / DIRECTORY
        make_directory(directory)
        state = CapabilityState()
        return cls(SealedJournal.open(directory, JOURNAL, mac=mac, state=state, signal=signal), state)

    @property
    def found(self) -> int:
        """Number of the last entry that an earlier run of the server left."""
        return self._journal.found

    def settled(self) -> int:
        """Number of the last entry; what a dead process left half written is decided. Raises
        BackendUnavailable, IntegrityError, OSError."""
        return self._journal.settled()

    def refresh(self) -> None:
        """Replays what other processes appended. One atomic load when nothing changed.

        Raises IntegrityError, OSError."""
        self._journal.refresh()

    def append(self, entry: Entry) -> None:
        """Durable and published to all processes on return. Raises BackendUnavailable, IntegrityError."""
        with self._journal.exclusive():
            self.state.check(entry)
            self._journal.append(encode(entry))

    def after_fork(self) -> None:
        """To be called in each child. Raises IntegrityError, OSError."""
        self._journal.after_fork()

    def close(self) -> None:
        """Closes the descriptors."""
        self._journal.close()
