"""Proves the stored and the kept checkpoints against the records, for the offline verifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from ronkms.audit.checkpoint import Checkpoint, verify_checkpoint
from ronkms.audit.checkpoint_files import DIRECTORY, HISTORY, LATEST, CheckpointFiles
from ronkms.audit.finding import Finding
from ronkms.audit.frontier import Frontier
from ronkms.audit.log_keys import FILE, read_log_keys
from ronkms.audit.note import NoteKey
from ronkms.audit.tree_state import tree_reader
from ronkms.errors import IntegrityError

_LEAVES: Final = 1 << 15


class KeptNote(NamedTuple):
    """A checkpoint from outside the directory; ``name`` for the report."""

    name: str
    note: str


class CheckpointProof:
    """Fed with the leaves in order, it compares the root at the size of every checkpoint."""

    def __init__(self, directory: Path, keys: Sequence[NoteKey], kept: Sequence[KeptNote]) -> None:
        """``keys``: the trusted ones; without any, the directory's own. Raises OSError."""
        self.problems: list[Finding] = []
        self.warnings: list[Finding] = []
        self.proven = 0
        """Checkpoints that hold."""
        self.largest = 0
        """Size of the largest one that holds."""
        self._directory = directory
        self._frontier = Frontier()
        self._due: list[tuple[Checkpoint, str]] = []
        self._load(keys, kept)

    def skip_archived(self, records: int) -> None:
        """Takes the leaves of records that left from the tree; checkpoints over them are proven too.

        Raises OSError."""
        with tree_reader(self._directory) as tree:
            if tree.leaves() < records:
                what = "lacks the records that have left: no checkpoint can be proven"
                self.warnings.append(Finding("tree", what))
                self._due.clear()
                return
            for start in range(0, records, _LEAVES):
                for leaf in tree.nodes(0, start, min(_LEAVES, records - start)):
                    self.add(leaf)

    def add(self, leaf: bytes) -> None:
        """The leaf hash of the next record."""
        self._frontier.add(leaf)
        while self._due and self._due[0][0].size <= self._frontier.size:
            self._prove(*self._due.pop(0))

    def finish(self) -> None:
        """After the last record."""
        size = self._frontier.size
        for checkpoint, where in self._due:
            what = f"is of {checkpoint.size} records, the log has {size} unbroken: cut off or rolled back"
            self.problems.append(Finding(where, what))

    def _prove(self, checkpoint: Checkpoint, where: str) -> None:
        if self._frontier.root() == checkpoint.root:
            self.proven += 1
            self.largest = checkpoint.size
            return
        what = f"its root is not that of the first {checkpoint.size} records: written anew, or forked"
        self.problems.append(Finding(where, what))

    def _load(self, keys: Sequence[NoteKey], kept: Sequence[KeptNote]) -> None:
        files = CheckpointFiles(self._directory)
        stored: list[tuple[str, str]] = []
        origin = ""
        try:
            own = read_log_keys(self._directory)
            stored += [
                (f"{DIRECTORY}/{HISTORY} at byte {each.offset}", each.note) for each in files.history()
            ]
            if latest := files.latest():
                stored.append((f"{DIRECTORY}/{LATEST}", latest))
        except IntegrityError as error:
            self.problems.append(Finding(str(self._directory), str(error)))
            own = None
        if own is not None:
            origin = own.origin
            if not keys:
                keys = own.note_keys()
                if stored:
                    what = "the keys of the checkpoints are the directory's own: this proves no identity"
                    self.warnings.append(Finding(FILE, what + "; give --key"))
        elif stored and not keys:
            self.problems.append(Finding(FILE, "is missing, there are checkpoints: give --key"))
            return
        for where, note in [*stored, *kept]:
            try:
                checkpoint = verify_checkpoint(note, keys).checkpoint
            except IntegrityError as error:
                self.problems.append(Finding(where, str(error)))
                continue
            origin = origin or checkpoint.origin
            if checkpoint.origin != origin:
                self.problems.append(Finding(where, f"is of another log, {checkpoint.origin}"))
                continue
            self._due.append((checkpoint, where))
        self._due.sort(key=lambda each: each[0].size)
        while self._due and not self._due[0][0].size:
            self._prove(*self._due.pop(0))
