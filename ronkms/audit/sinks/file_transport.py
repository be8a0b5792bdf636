"""A sink that is a file of its own: appended to, reopened when renamed, reported when deleted."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from ronkms.audit.follower import Followed
from ronkms.audit.sinks.encoding import Encode
from ronkms.errors import Unavailable
from ronkms.journal.durable_file import FILE_MODE, SyncError, sync_directory

_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""``O_NONBLOCK``: opening a pipe must not wait for a reader; it has no effect on a file."""
_TORN_MAX: Final = 1 << 22
_BEGINNINGS: Final = {"jsonl": b'{"seq":', "cef": b"CEF:0|ron-kms|", "ocsf": b"{"}
"""How a line of each format begins: what else stands at the end of a file is not cut off."""
_CLOSED: Final = -1

_log = structlog.get_logger("ronkms.audit_sinks")


class FileTransport:
    """Implements ``transport.Transport``."""

    def __init__(self, name: str, path: Path, form: str, encode: Encode) -> None:
        """``form``: of ``encode``."""
        self._name = name
        self._path = path
        self._beginning = _BEGINNINGS[form]
        self._encode = encode
        self._descriptor = _CLOSED
        self._size = 0
        self._unsynced = False
        self._renamed = False

    def open(self) -> None:
        """Makes the file (mode 0600) if it is missing; cuts off the line that a crash left unfinished."""
        descriptor = os.open(self._path, _FLAGS, FILE_MODE)
        try:
            self._size = self._cut_torn_line(descriptor, self._regular_size(descriptor))
            # Who may write there need not be allowed to list the directory.
            with suppress(PermissionError):
                sync_directory(self._path.parent)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._renamed = False

    def deliver(self, records: Sequence[Followed]) -> int:
        """All of them, in one write."""
        if self._renamed:
            self._follow_rename()
        rest = memoryview(b"".join(self._encode(record) + b"\n" for record in records))
        before = os.fstat(self._descriptor).st_size
        self._unsynced = True
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            self._cut_back(before)
            raise
        self._size = os.fstat(self._descriptor).st_size
        self._renamed = self._was_renamed()
        return len(records)

    def check(self) -> None:
        """Whether the path still names the open file, and that can be written."""
        if self._renamed or self._was_renamed():
            self._follow_rename()

    def flush(self) -> None:
        """See ``transport.Transport``."""
        if not self._unsynced:
            return
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise SyncError(error.errno, error.strerror) from error
        self._unsynced = False

    def close(self) -> None:
        """See ``transport.Transport``."""
        if self._descriptor != _CLOSED:
            with suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = _CLOSED

    def _was_renamed(self) -> bool:
        here = os.fstat(self._descriptor)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            there = None
        if there is not None and (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
            self._check_content(here)
            return False
        if here.st_nlink == 0:
            raise Unavailable(f"{self._path} was deleted or replaced: what was in it is gone")
        return True

    def _check_content(self, here: os.stat_result) -> None:
        self._require_write_permission(here)
        if here.st_size < self._size:
            _log.warning("audit_sink_file_cut", sink=self._name, path=str(self._path), bytes=here.st_size)
        self._size = here.st_size

    def _follow_rename(self) -> None:
        """The old file keeps what was written; the next record goes to a new one."""
        self.flush()
        self.close()
        self.open()
        _log.info("audit_sink_file_reopened", sink=self._name, path=str(self._path))

    def _require_write_permission(self, status: os.stat_result) -> None:
        """An open descriptor writes on, and root writes anyway: who took the permission away meant it."""
        if not status.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
            raise Unavailable(f"{self._path} is read-only; give it back its write permission")

    def _cut_back(self, size: int) -> None:
        with suppress(OSError):
            if os.fstat(self._descriptor).st_size > size:
                os.ftruncate(self._descriptor, size)

    def _regular_size(self, descriptor: int) -> int:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Unavailable(f"{self._path} is not a regular file")
        self._require_write_permission(status)
        return status.st_size

    def _cut_torn_line(self, descriptor: int, size: int) -> int:
        begin = max(0, size - _TORN_MAX)
        end = os.pread(descriptor, size - begin, begin)
        torn = end[end.rfind(b"\n") + 1 :]
        if not torn:
            return size
        if not (torn.startswith(self._beginning) or self._beginning.startswith(torn)):
            raise Unavailable(f"{self._path} does not end with a line of this sink; name another file")
        os.ftruncate(descriptor, size - len(torn))
        return size - len(torn)
