"""The Merkle tree of the log on disk: one file of hashes a level (docs/formats/checkpoint.md).

One writer; any number of readers, which see the complete subtrees as soon as they are written.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Self

from ronkms_native import parent_hashes

from ronkms.audit.merkle import HASH_BYTES, root
from ronkms.errors import IntegrityError
from ronkms.journal.durable_file import FILE_MODE, make_directory, sync_directory, sync_file, write_at

_REBUILD_HASHES: Final = 1 << 15


class TreeReader:
    """Implements ``merkle.Nodes`` over the files in ``directory``."""

    _FLAGS = os.O_RDONLY | os.O_CLOEXEC

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[int, int] = {}

    def node(self, level: int, index: int) -> bytes:
        """See ``merkle.Nodes``."""
        found = self.nodes(level, index, 1)
        if not found:
            raise IntegrityError(f"the audit tree lacks hash {index} of level {level}; it can be made again")
        return found[0]

    def nodes(self, level: int, index: int, count: int) -> list[bytes]:
        """Up to ``count`` hashes of ``level`` from ``index`` on."""
        try:
            data = os.pread(self._file(level), count * HASH_BYTES, index * HASH_BYTES)
        except FileNotFoundError:
            return []
        return [data[at : at + HASH_BYTES] for at in range(0, len(data) - HASH_BYTES + 1, HASH_BYTES)]

    def leaves(self) -> int:
        """Leaves that are in the files now."""
        try:
            return os.fstat(self._file(0)).st_size // HASH_BYTES
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Closes the files."""
        while self._files:
            os.close(self._files.popitem()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _file(self, level: int) -> int:
        if level not in self._files:
            path = self._directory / f"level-{level:02}"
            self._files[level] = os.open(path, self._FLAGS, FILE_MODE)
        return self._files[level]


class TreeWriter(TreeReader):
    """The tree that grows. ``size`` is the number of its leaves."""

    _FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC

    def __init__(self, directory: Path) -> None:
        """Makes the directory if it is missing; its parent must exist. Raises OSError."""
        make_directory(directory)
        super().__init__(directory)
        self.size = self.leaves()
        sync_directory(directory)

    def root(self) -> bytes:
        """Root of all leaves."""
        return root(self, self.size)

    def append(self, leaves: bytes) -> None:
        """Adds leaf hashes, one behind the other, and what they complete, lowest level first.

        Raises OSError."""
        self._extend(0, self.size, leaves)
        self.size += len(leaves) // HASH_BYTES

    def cut(self, size: int) -> None:
        """Goes back to ``size`` leaves, or to as many as are there. Raises OSError."""
        self.size = min(size, self.leaves())
        level = 0
        while level == 0 or (self._directory / f"level-{level:02}").exists():
            length = (self.size >> level) * HASH_BYTES
            if os.fstat(self._file(level)).st_size > length:
                os.ftruncate(self._file(level), length)
            level += 1

    def rebuild(self) -> None:
        """Makes every level above the leaves again. Raises OSError."""
        for path in self._directory.glob("level-*"):
            if path.name != "level-00":
                os.ftruncate(self._file(int(path.name[6:])), 0)
        size = self.size
        for start in range(0, size, _REBUILD_HASHES):
            leaves = b"".join(self.nodes(0, start, min(_REBUILD_HASHES, size - start)))
            self._extend(0, start, leaves, write=False)

    def sync(self) -> None:
        """Makes the leaves durable. Raises SyncError."""
        sync_file(self._file(0))

    def _extend(self, level: int, start: int, hashes: bytes, *, write: bool = True) -> None:
        while hashes:
            if write:
                write_at(self._file(level), hashes, start * HASH_BYTES)
            if start & 1:
                hashes = self.node(level, start - 1) + hashes
                start -= 1
            hashes = parent_hashes(hashes)
            level, start, write = level + 1, start >> 1, True
