"""The policy on disk: the sealed journal ``policy/policy`` of the data directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from ronkms.capability.clock import Clock
from ronkms.journal import ChangeSignal, SealedJournal
from ronkms.journal.durable_file import make_directory
from ronkms.journal.line import Mac
from ronkms.policy.decision import Decision
from ronkms.policy.entry import Entry, encode_entry
from ronkms.policy.state import PolicyState

DIRECTORY: Final = "policy"
JOURNAL: Final = "policy"


class PolicyRegistry:
    """The policy that all processes of a server share. Implements ``policy.decision.Policy``."""

    def __init__(self, journal: SealedJournal, state: PolicyState) -> None:
        """Takes over what ``open`` has opened. Call ``open``."""
        self._journal = journal
        self.state = state

    @classmethod
    def open(
        cls,
        data_directory: Path,
        *,
        mac: Mac,
        signal: ChangeSignal,
        clock: Clock | None = None,
    ) -> PolicyRegistry:
        """Parent process, before it forks. Makes the directory if need be.

        ``signal`` is the arena's generation POLICY. Raises IntegrityError, OSError."""
        directory = data_directory / DIRECTORY
        make_directory(directory)
        state = PolicyState(clock)
        return cls(SealedJournal.open(directory, JOURNAL, mac=mac, state=state, signal=signal), state)

    def decide(self, tenant: str, key_id: str) -> Decision:
        """See ``policy.decision.Policy``."""
        self._journal.refresh()
        return self.state.decide(tenant, key_id)

    @property
    def found(self) -> int:
        """Number of the last entry that an earlier run of the server left."""
        return self._journal.found

    def settled(self) -> int:
        """Number of the last entry; what a dead process left half written is decided. Raises
        BackendUnavailable, IntegrityError, OSError."""
        return self._journal.settled()

    def refresh(self) -> None:
        """Replays what other processes appended. Raises IntegrityError, OSError."""
        self._journal.refresh()

    def change(self, make: Callable[[PolicyState], Entry]) -> Entry:
        """Appends what ``make`` says to the present state: durable and in force in all processes on return.

        Raises Conflict and BadRequest (not possible now), BackendUnavailable, IntegrityError."""
        with self._journal.exclusive():
            entry = make(self.state)
            self.state.check(entry)
            self._journal.append(encode_entry(entry))
        return entry

    def after_fork(self) -> None:
        """To be called in each child. Raises IntegrityError, OSError."""
        self._journal.after_fork()

    def close(self) -> None:
        """Closes the descriptors."""
        self._journal.close()
