"""The file ``pending``: which record is being committed, for whoever takes the lock after a crash.

Read and written under the journal's lock alone. Not fsynced: after a power failure the start finds the
record by looking through all of them.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from ronkms.journal.durable_file import FILE_MODE

_MAX: int = 4096


class PendingRecord(msgspec.Struct, frozen=True):
    """The identity of one key version."""

    tenant: str
    key_id: str
    number: int


class PendingFile:
    """Holds at most one :class:`PendingRecord`."""

    def __init__(self, path: Path) -> None:
        """Opens the file, makes it if need be. Raises OSError."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)

    def read(self) -> PendingRecord | None:
        """What a crashed process was about to commit. Raises OSError."""
        data = os.pread(self._descriptor, _MAX, 0)
        try:
            return msgspec.json.decode(data, type=PendingRecord) if data else None
        except msgspec.DecodeError:
            # The writer died inside the write, before it gave the record its name: nothing is pending.
            return None

    def set(self, pending: PendingRecord) -> None:
        """Raises OSError."""
        os.pwrite(self._descriptor, msgspec.json.encode(pending), 0)

    def clear(self) -> None:
        """Raises OSError."""
        os.ftruncate(self._descriptor, 0)

    def close(self) -> None:
        """Closes the descriptor; the content stays."""
        os.close(self._descriptor)
