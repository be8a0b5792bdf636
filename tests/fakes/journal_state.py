"""A journal's state that is nothing but the list of its entries."""

from __future__ import annotations

from pathlib import Path

from ronkms.journal import SealedJournal
from tests.fakes.custody import FakeCustody
from tests.fakes.generation import SharedGeneration


class ListState:
    """``keep``: how many of the newest entries count as live."""

    def __init__(self, keep: int | None = None) -> None:
        self.entries: list[bytes] = []
        self.seqs: list[int] = []
        self._keep = keep

    def apply(self, seq: int, entry: bytes) -> None:
        self.seqs.append(seq)
        self.entries.append(entry)

    def live_entries(self) -> list[bytes]:
        return self.entries if self._keep is None else self.entries[-self._keep :]

    def live_count(self) -> int:
        return len(self.live_entries())


class OpenJournal:
    """A journal with its state, under a fake custody."""

    def __init__(
        self,
        directory: Path,
        name: str = "journal",
        *,
        keep: int | None = None,
        custody: FakeCustody | None = None,
        generation: SharedGeneration | None = None,
    ) -> None:
        self.generation = generation or SharedGeneration()
        self.state = ListState(keep)
        self.journal = SealedJournal.open(
            directory,
            name,
            mac=(custody or FakeCustody()).mac,
            state=self.state,
            signal=self.generation.signal,
        )

    def append(self, *entries: bytes) -> None:
        for entry in entries:
            with self.journal.exclusive():
                self.journal.append(entry)

    def close(self) -> None:
        self.journal.close()


def entries_in(directory: Path, name: str = "journal") -> list[bytes]:
    """Opens, reads all entries, closes. Raises what opening raises."""
    opened = OpenJournal(directory, name)
    opened.close()
    return opened.state.entries


def write_journal(directory: Path, count: int, name: str = "journal") -> list[bytes]:
    """A journal with ``count`` entries. Returns them."""
    entries = [b'{"n":%d}' % n for n in range(count)]
    opened = OpenJournal(directory, name)
    opened.append(*entries)
    opened.close()
    return entries
