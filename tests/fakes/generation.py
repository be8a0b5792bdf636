"""A generation counter that forked processes share, as the arena's is."""

from __future__ import annotations

import mmap

from ronkms.journal import ChangeSignal


class SharedGeneration:
    """Eight bytes of shared memory. Only the holder of a journal's lock bumps it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)
        self.signal = ChangeSignal(self.load, self.bump)

    def load(self) -> int:
        """The present generation."""
        return int.from_bytes(self._memory[:8], "little")

    def bump(self) -> int:
        """The next generation."""
        self._memory[:8] = (self.load() + 1).to_bytes(8, "little")
        return self.load()
