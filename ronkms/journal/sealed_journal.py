"""The journal that processes of one server share (docs/formats/journal.md).

Invariants: an entry exists for readers once its head is on disk, and never before; ``apply`` gets every
committed entry once, in order, whoever appended it; after a failure that leaves the disk unknown, this
process appends no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final, Protocol

import msgspec
import structlog

from ronkms.errors import BackendUnavailable, IntegrityError
from ronkms.journal.chain_file import ChainFile, Header, HeadPosition
from ronkms.journal.durable_file import SyncError, sync_directory, write_new
from ronkms.journal.line import CHAIN_START, LineCodec, Mac, Position
from ronkms.journal.writer_lock import WriterLock

_COMPACT_FACTOR: Final = 4
_COMPACT_SLACK: Final = 64

_log = structlog.get_logger("ronkms.journal")


class JournalState(Protocol):
    """What the entries build up."""

    def apply(self, seq: int, entry: bytes) -> None:
        """Takes one committed entry (JSON). Raises IntegrityError for one that it cannot know."""

    def live_count(self) -> int:
        """How many entries ``live_entries`` would give."""

    def live_entries(self) -> Iterable[bytes]:
        """Entries that build the present state from nothing."""


@dataclass(frozen=True, slots=True)
class ChangeSignal:
    """A generation counter in the arena: tells the other processes that there is something to replay."""

    load: Callable[[], int]
    bump: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a crash had left, and what was done about it."""

    created: bool = False
    rolled_forward: bool = False
    """One entry was on disk but not committed."""
    torn_bytes: int = 0
    """Length of an incomplete entry that was cut off."""
    compacted: bool = False


class SealedJournal:
    """Open one with ``open``; then ``refresh`` to read, ``exclusive`` and ``append`` to write."""

    def __init__(self, chain: ChainFile, lock: WriterLock, state: JournalState, signal: ChangeSignal) -> None:
        """Takes over what ``open`` has opened. Call ``open``."""
        self._chain = chain
        self._writer = lock
        self._state = state
        self._signal = signal
        self._reading = Lock()
        self._seen: int | None = None
        self._exclusive = False
        self._failed: str | None = None
        self.recovery = Recovery()
        self.found = 0
        """Number of the last entry that was there when the journal was opened, what compactions copied left
        out."""

    @classmethod
    def open(
        cls,
        directory: Path,
        name: str,
        *,
        mac: Mac,
        state: JournalState,
        signal: ChangeSignal,
        after: int = 0,
    ) -> SealedJournal:
        """Parent process, before it forks: makes, recovers, replays and if need be compacts the journal.

        ``directory`` must exist. ``after``: where the numbers of a new journal go on. ``recovery`` says what
        was found. Raises IntegrityError (damaged or rolled back; one line that names the file), OSError.
        """
        codec = LineCodec(name, mac)
        for leftover in (f"{name}.tmp", f"{name}.head.tmp"):
            (directory / leftover).unlink(missing_ok=True)
        lock = WriterLock(directory / f"{name}.lock")
        with ExitStack() as on_failure:
            on_failure.callback(lock.close)
            with lock.held():
                created = _create_if_new(directory, name, codec, after)
                journal = cls(ChainFile(directory, name, codec), lock, state, signal)
                on_failure.callback(journal._chain.close)
                journal._adopt_head()
                found = journal._recover()
                journal.found = journal._last_made()
                compacted = journal._compact(directory, name, codec)
            on_failure.pop_all()
        journal.recovery = Recovery(created, found.rolled_forward, found.torn_bytes, compacted)
        return journal

    @property
    def seq(self) -> int:
        """Number of the last entry that was applied."""
        return self._chain.position.seq

    @property
    def failed(self) -> bool:
        """True once this process may not append any more, and the last entry's fate is unknown."""
        return self._failed is not None

    def refresh(self) -> None:
        """Applies what other processes committed. One atomic load when nothing changed.

        Raises IntegrityError, OSError."""
        generation = self._signal.load()
        if generation == self._seen:
            return
        with self._reading:
            self._replay_to(self._committed())
            self._seen = generation

    def settled(self) -> int:
        """Number of the last entry, after it was decided about one that a dead process left half written: so
        the next append gets the number after it. Raises as :meth:`exclusive` does."""
        with self.exclusive():
            return self.seq

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Inside, this thread alone writes, and has applied everything that was committed.

        Not reentrant. Raises BackendUnavailable (the journal failed for good in this process),
        IntegrityError, OSError.
        """
        with self._writer.held():
            self._require_working()
            found = self._recover()
            if found.rolled_forward:
                self._signal.bump()
            self._exclusive = True
            try:
                yield
            finally:
                self._exclusive = False

    def append(self, entry: bytes, *, tell: bool = True) -> int:
        """Makes ``entry`` durable, applies it, tells the others. Returns its number.

        ``tell`` False: the others apply it no later than before they append themselves, or with the next
        entry that they are told of; in time for what only concerns who appends.

        ``entry`` is JSON of up to 1 MiB without a newline, else ValueError. Only inside ``exclusive``. Raises
        BackendUnavailable: nothing was written; or nobody knows, and the message says that the journal failed
        for good.
        """
        if not self._exclusive:
            raise RuntimeError("append needs exclusive()")
        self._require_working()
        before = self._chain.position
        try:
            position = self._chain.append(entry)
            self._chain.write_head(position)
        except OSError as error:
            self._take_back(before, error)
            raise self._unwritten(error) from error
        with self._reading:
            self._replay_to(position)
        if tell:
            self._signal.bump()
        return position.seq

    def catch_up(self) -> None:
        """As :meth:`refresh`, and applies what the others did not tell. Raises IntegrityError, OSError."""
        with self._reading:
            self._replay_to(self._committed())

    def after_fork(self) -> None:
        """To be called in each child: own locks and descriptors. Raises IntegrityError, OSError."""
        self._reading = Lock()
        self._writer.after_fork()
        self._chain.reopen()

    def close(self) -> None:
        """Closes the descriptors."""
        self._chain.close()
        self._writer.close()

    def _last_made(self) -> int:
        """Number of the last entry that is no copy of a compaction."""
        header = self._chain.header
        if header.previous is not None and self._chain.entries == header.snapshot:
            return header.previous.seq
        return self.seq

    def _committed(self) -> Position:
        head = self._chain.read_head()
        if head is None:
            raise self._chain.broken("has lost its head file; restore the directory from one backup")
        return head

    def _replay_to(self, until: Position) -> None:
        if until.seq < self._chain.position.seq:
            raise self._chain.broken(
                f"is at {self._chain.position.seq}, its head at {until.seq}: head rolled back"
            )
        for seq, entry in self._chain.replay(until):
            self._state.apply(seq, entry)

    def _adopt_head(self) -> None:
        """Completes a creation or a compaction that a crash cut short. At open, standing after the header."""
        head = self._chain.read_head()
        previous = self._chain.header.previous
        if head is None:
            if previous is not None or self._chain.after_head() != (None, 0):
                raise self._chain.broken("has lost its head file; restore the directory from one backup")
            self._chain.write_head(self._chain.position)
        elif previous is not None and HeadPosition(head.seq, head.mac.hex()) == previous:
            self._chain.write_head(self._chain.snapshot_end())

    def _recover(self) -> Recovery:
        """Under the lock: applies what is committed, then decides about what a crash left behind it."""
        if not self._chain.in_place():
            raise self._chain.broken("was deleted or replaced while the server runs; restart it")
        with self._reading:
            self._replay_to(self._committed())
            whole, torn = self._chain.after_head()
            if whole is not None:
                self._chain.write_head(whole)
                self._replay_to(whole)
                _log.warning("journal_rolled_forward", file=str(self._chain.path), seq=whole.seq)
            elif torn:
                self._chain.cut_back()
                _log.warning("journal_torn_entry_cut", file=str(self._chain.path), bytes=torn)
        return Recovery(rolled_forward=whole is not None, torn_bytes=torn)

    def _compact(self, directory: Path, name: str, codec: LineCodec) -> bool:
        if self._chain.entries <= _COMPACT_FACTOR * self._state.live_count() + _COMPACT_SLACK:
            return False
        entries = list(self._state.live_entries())
        old = self._chain.position
        header = Header(name=name, snapshot=len(entries), previous=HeadPosition(old.seq, old.mac.hex()))
        end = _write_file(directory, name, codec, header, old.seq, entries)
        self._chain.write_head(end)
        self._chain.close()
        self._chain = ChainFile(directory, name, codec)
        for _ in self._chain.replay(end):
            pass
        _log.info("journal_compacted", file=str(self._chain.path), before=old.seq, entries=len(entries))
        return True

    def _require_working(self) -> None:
        if self._failed is not None:
            raise BackendUnavailable(self._failed)

    def _unwritten(self, error: OSError) -> BackendUnavailable:
        return BackendUnavailable(self._failed or f"{self._chain.path.name}: not written: {error.strerror}")

    def _take_back(self, before: Position, cause: OSError) -> None:
        """After a failed append at ``before``: makes it not have happened, or latches the journal."""
        _log.error("journal_write_failed", file=str(self._chain.path), error=str(cause))
        try:
            unknown = self._chain.read_head() != before
            if not unknown:
                self._chain.cut_back()
        except (OSError, IntegrityError) as error:
            _log.error("journal_cut_back_failed", file=str(self._chain.path), error=str(error))
            unknown = True
        if unknown or isinstance(cause, SyncError):
            self._failed = f"{self._chain.path.name}: failed ({cause.strerror}); check the disk, then restart"


def _create_if_new(directory: Path, name: str, codec: LineCodec, after: int) -> bool:
    if (directory / name).exists() or (directory / f"{name}.head").exists():
        return False
    _write_file(directory, name, codec, Header(name=name), after, [])
    return True


def _write_file(
    directory: Path, name: str, codec: LineCodec, header: Header, after: int, entries: list[bytes]
) -> Position:
    """Puts a new file in place: the header, then ``entries``. Returns its end. Raises OSError."""
    line, position = codec.line(Position(after, CHAIN_START), msgspec.json.encode(header))
    lines = [line]
    for entry in entries:
        line, position = codec.line(position, entry)
        lines.append(line)
    temporary = directory / f"{name}.tmp"
    write_new(temporary, b"".join(lines))
    temporary.replace(directory / name)
    sync_directory(directory)
    return position
