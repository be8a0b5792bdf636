"""Mutual exclusion of all threads of all processes of a server: a thread lock, then ``flock`` on a file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from ronkms.journal.durable_file import FILE_MODE


class WriterLock:
    """``flock`` belongs to the open file, which a fork shares: each child must call ``after_fork``."""

    def __init__(self, path: Path) -> None:
        """Opens the lock file, makes it if need be. Raises OSError."""
        self._path = path
        self._open()

    def _open(self) -> None:
        self._thread_lock = Lock()
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Waits for the lock, without the GIL. Not reentrant. Raises OSError."""
        with self._thread_lock:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def after_fork(self) -> None:
        """An own open file, so that this process excludes its siblings too."""
        self.close()
        self._open()

    def close(self) -> None:
        """Closes the descriptor; the file stays."""
        os.close(self._descriptor)
