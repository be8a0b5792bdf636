"""A file store opened on a directory, with what the composition root would give it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ronkms.domain.key import Key, Origin
from ronkms.domain.key_policy import KeyPolicy
from ronkms.store.file_store import FileStore
from ronkms.store.protocol import Seal
from tests.fakes.custody import FakeCustody
from tests.fakes.generation import SharedGeneration


class RecordMaker(Protocol):
    """The part of ``ronkms_native.Custody`` that a store needs."""

    def mac(self, label: str, data: bytes) -> bytes: ...

    def generate(self, alg: str, identity: bytes) -> tuple[bytes, bytes]: ...


class OpenStore:
    """``store`` under ``custody``; ``damaged`` counts reports, ``retired`` lists identities."""

    def __init__(
        self,
        directory: Path,
        *,
        custody: RecordMaker | None = None,
        generation: SharedGeneration | None = None,
    ) -> None:
        self.directory = directory
        self.custody = custody or FakeCustody()
        self.generation = generation or SharedGeneration()
        self.damaged = 0
        self.retired: list[tuple[str, bytes]] = []
        self.store = FileStore(
            directory,
            mac=self.custody.mac,
            signal=self.generation.signal,
            on_damaged=self._count_damaged,
            on_retired=lambda backend, identity: self.retired.append((backend, identity)),
        )

    def _count_damaged(self) -> None:
        self.damaged += 1

    def seal(self, alg: str) -> Seal:
        """Makes fresh material of ``alg``."""
        return lambda identity: self.custody.generate(alg, identity)

    def create(self, key_id: str, *, tenant: str = "acme", alg: str = "Ed25519") -> Key:
        """A new key without labels."""
        return self.store.create(
            tenant=tenant,
            key_id=key_id,
            alg=alg,
            backend="file",
            labels={},
            policy=KeyPolicy(),
            origin=Origin.GENERATED,
            seal=self.seal(alg),
        )

    def rotate(self, key_id: str, *, tenant: str = "acme", alg: str = "Ed25519") -> Key:
        """The next version."""
        return self.store.add_version(tenant, key_id, alg=alg, origin=Origin.GENERATED, seal=self.seal(alg))

    def record_path(self, key_id: str, number: int, tenant: str = "acme") -> Path:
        """The file of a record."""
        return self.directory / "records" / self.store._files.file(tenant, key_id, number)

    def close(self) -> None:
        """Gives the directory back."""
        self.store.close()
