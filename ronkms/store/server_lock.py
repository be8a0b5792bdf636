"""One server a directory: an exclusive ``flock``, held by the parent and, through it, by its workers."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from ronkms.errors import StartError
from ronkms.journal.durable_file import FILE_MODE

ORPHAN_WAIT_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.05


class ServerLock:
    """Holds the lock from construction until the last process that inherited it is gone."""

    def __init__(self, path: Path) -> None:
        """Takes the lock, or waits up to 5 s for orphaned workers of a dead parent.

        Raises StartError: names the directory and the pid that holds it. Raises OSError."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            self._acquire(path.parent)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _acquire(self, directory: Path) -> None:
        give_up = time.monotonic() + ORPHAN_WAIT_SECONDS
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
                if _alive(holder) or time.monotonic() > give_up:
                    raise StartError(
                        f"{directory} is in use by the server with pid {holder or 'unknown'}; stop it first"
                    ) from None
                time.sleep(_POLL_SECONDS)
            else:
                break
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Lets go of this process's share of the lock."""
        os.close(self._descriptor)


def _alive(pid: str) -> bool:
    if not pid.isdecimal() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
