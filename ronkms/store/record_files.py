"""Where sealed records lie and how they get there (docs/formats/keystore.md, Directory)."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Final

from ronkms.journal.durable_file import make_directory, sync_directory, write_new

MAX_RECORD: Final = 1 << 17
"""Far more than any sealed key: a longer file is damaged."""

_RECORD: Final = re.compile(r"[0-9a-f]{64}\.[1-9][0-9]*\.rec")


class RecordFiles:
    """The directories ``records``, ``tmp`` and ``quarantine`` of one key store."""

    def __init__(self, directory: Path) -> None:
        """Makes the directories that are missing. Raises OSError."""
        self._records = directory / "records"
        self._staging = directory / "tmp"
        self._quarantine = directory / "quarantine"
        for needed in (self._records, self._staging, self._quarantine):
            make_directory(needed)
        self.root = str(self._records)

    def file(self, tenant: str, key_id: str, number: int) -> str:
        """The record's file, relative to ``records/``."""
        owner, key = tenant.encode(), key_id.encode()
        name = sha256(
            b"".join((len(owner).to_bytes(4, "big"), owner, len(key).to_bytes(4, "big"), key))
        ).hexdigest()
        return f"{name[:2]}/{name}.{number}.rec"

    def stage(self, record: bytes) -> Path:
        """Writes and fsyncs the record under a temporary name. Raises OSError."""
        path = self._staging / token_hex(12)
        write_new(path, record)
        return path

    def commit(self, staged: Path, file: str) -> None:
        """Gives a staged record its name, durably. The caller knows that the name is free. Raises OSError."""
        target = self._records / file
        make_directory(target.parent)
        staged.rename(target)
        sync_directory(target.parent)

    def read(self, file: str) -> bytes:
        """The record's bytes. Raises OSError."""
        descriptor = os.open(f"{self.root}/{file}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return os.read(descriptor, MAX_RECORD + 1)
        finally:
            os.close(descriptor)

    def remove(self, file: str) -> bool:
        """Removes a record, durably. False if there is none. Raises OSError."""
        target = self._records / file
        try:
            target.unlink()
        except FileNotFoundError:
            return False
        sync_directory(target.parent)
        return True

    def quarantine(self, file: str) -> Path | None:
        """Moves a record out of the way, durably. None if there is none. Raises OSError."""
        source = self._records / file
        target = self._quarantine / f"{source.name}.{time.time_ns()}"
        try:
            source.rename(target)
        except FileNotFoundError:
            return None
        sync_directory(self._quarantine)
        sync_directory(source.parent)
        return target

    def present(self) -> Iterator[str]:
        """Every record file there is. Raises OSError."""
        with os.scandir(self._records) as shards:
            names = [shard.name for shard in shards if shard.is_dir(follow_symlinks=False)]
        for shard in names:
            for name in os.listdir(self._records / shard):  # noqa: PTH208
                if _RECORD.fullmatch(name):
                    yield f"{shard}/{name}"

    def clear_staging(self) -> int:
        """Removes what was never committed. Parent process at start. Returns how many. Raises OSError."""
        leftovers = list(self._staging.iterdir())
        for leftover in leftovers:
            leftover.unlink()
        return len(leftovers)
