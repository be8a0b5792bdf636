"""The policy on disk: the sealed journal ``policy/policy`` of the data directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from ronkms.capability.clock import Clock
from ronkms.errors import BackendUnavailable, IntegrityError
from ronkms.journal import AnchorKeeper, ChangeSignal, JournalAnchor, SealedJournal
from ronkms.journal.durable_file import make_directory
from ronkms.journal.line import Mac
from ronkms.policy.decision import Decision
from ronkms.policy.entry import Entry, Locked, decode_entry, encode_entry
from ronkms.policy.pq import AcceptSet
from ronkms.policy.state import PolicyState

DIRECTORY: Final = "policy"
JOURNAL: Final = "policy"
_HEADER_ALONE: Final = 1
"""Number of entries of a journal that nothing was ever written to."""


Accepted = Callable[[JournalAnchor], object]
"""Records that the loss of the journal was accepted; nothing is done before it returns."""

_log = structlog.get_logger()


class PolicyRegistry:
    """The policy that all processes of a server share. Implements ``policy.decision.Policy``.

    ``anchors`` remembers how far the journal has come, and all locks: neither its removal nor an older copy
    goes unnoticed, and no lock is lost with it."""

    def __init__(self, journal: SealedJournal, state: PolicyState, anchors: AnchorKeeper) -> None:
        """Takes over what ``open`` has opened. Call ``open``."""
        self._journal = journal
        self._anchors = anchors
        self.state = state

    @classmethod
    def open(
        cls,
        data_directory: Path,
        *,
        mac: Mac,
        signal: ChangeSignal,
        anchors: AnchorKeeper,
        accepted_loss: int = 0,
        on_accepted: Accepted = lambda _: None,
        clock: Clock | None = None,
    ) -> PolicyRegistry:
        """Parent process, before it forks. Makes the directory if need be.

        ``signal`` is the arena's generation POLICY. ``accepted_loss``: how many entries there were, if the
        operator accepts that some or all are lost; the locks are kept, after ``on_accepted``. Raises
        IntegrityError (damaged, lost or rolled back), what ``on_accepted`` raises, OSError."""
        directory = data_directory / DIRECTORY
        make_directory(directory)
        anchor = anchors.anchor(JOURNAL) or JournalAnchor(0)

        def accept(what: str) -> None:
            if accepted_loss != anchor.seq:
                raise _lost(directory, anchor, what)
            on_accepted(anchor)

        files = (directory / JOURNAL, directory / f"{JOURNAL}.head")
        missing = anchor.seq > 0 and not any(file.exists() for file in files)
        if missing:
            accept("is missing")
        state = PolicyState(clock)
        journal = SealedJournal.open(
            directory, JOURNAL, mac=mac, state=state, signal=signal, after=anchor.seq if missing else 0
        )
        registry = cls(journal, state, anchors)
        try:
            if journal.seq < anchor.seq:
                accept(f"is an older copy, of {journal.seq} entries")
            registry._restore_locks(anchor)
            registry._remember()
        except BaseException:
            registry.close()
            raise
        return registry

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
        self._remember()
        return entry

    def _restore_locks(self, anchor: JournalAnchor) -> None:
        # The tenant's own lock first: those of its keys follow from it.
        for _, kept in sorted(anchor.keep.items()):
            lock = decode_entry(kept.encode())
            if not isinstance(lock, Locked):
                raise IntegrityError(f"the key store's anchor of {JOURNAL} keeps what is no lock")
            floor = self.state.tenant(lock.tenant).floors.get(lock.key_id)
            if floor is None or not floor.within(AcceptSet(lock.verify_mode, lock.classical_excluded)):
                self.change(lambda _, lock=lock: lock)  # type: ignore[misc]

    def _remember(self) -> None:
        """The journal may be ahead of its anchor, never behind: what fails here is done by the next change or
        start."""
        known = self._anchors.anchor(JOURNAL) or JournalAnchor(_HEADER_ALONE)
        locks = {name: encode_entry(lock).decode() for name, lock in self.state.locks()}
        changed = {name: lock for name, lock in locks.items() if known.keep.get(name) != lock}
        if not changed and known.seq == self._journal.seq:
            return
        try:
            self._anchors.set_anchor(JOURNAL, JournalAnchor(self._journal.seq, changed))
        except BackendUnavailable as error:
            _log.error("policy_not_anchored", error=str(error), advice="the next change or start tries again")

    def after_fork(self) -> None:
        """To be called in each child. Raises IntegrityError, OSError."""
        self._journal.after_fork()

    def close(self) -> None:
        """Closes the descriptors."""
        self._journal.close()


def _lost(directory: Path, anchor: JournalAnchor, what: str) -> IntegrityError:
    return IntegrityError(
        f"policy: {directory / JOURNAL} {what}; it had {anchor.seq} entries. Put {directory} back as it was;"
        f" or put an older copy there, or nothing, and start with KMS_POLICY_ACCEPT_LOSS={anchor.seq}: the"
        f" {len(anchor.keep)} locks are kept, other settings of tenants and keys are lost"
    )
