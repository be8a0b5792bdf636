"""The key of the keyed digests in one process: number and key always change together.

Invariant: what is held was read after the generation that it is held for, so a process that sees the
generation unmoved uses the newest announced epoch (docs/CONCURRENCY.md, "Digest keys").
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple, Protocol

from ronkms_native import MacKey, NativeError

from ronkms.audit.digest_epochs import FILE, Epoch, read_epochs
from ronkms.errors import AuditUnavailable, IntegrityError

LEGACY_LABEL: Final = "ron-kms audit input digest v1"
"""Label of the derived key of digests that were made before there were epochs, for ``Custody.mac``."""


class KeyedDigest(NamedTuple):
    """``value``: HMAC-SHA-256 in lower-case hex; ``epoch``: number of its key. Both empty for no input."""

    epoch: int
    value: str


NO_DIGEST: Final = KeyedDigest(0, "")


class DigestKey(NamedTuple):
    """The key of an epoch, and the generation that it was read for."""

    generation: int
    epoch: int
    key: MacKey


class MacKeyCustody(Protocol):
    """The part of ``ronkms_native.Custody`` that is used here."""

    def unseal_mac_key(self, sealed: bytes, identity: bytes) -> MacKey: ...


class DigestKeys:
    """Shared by all threads of a process; inherited over a fork."""

    def __init__(
        self, directory: Path, origin: str, custody: MacKeyCustody, generation: Callable[[], int]
    ) -> None:
        """``directory``: of the log. ``generation`` moves whenever the epochs changed."""
        self._directory = directory
        self._origin = origin
        self._custody = custody
        self._generation = generation
        self._held: DigestKey | None = None
        self._lock = Lock()

    def current(self) -> DigestKey:
        """The epoch in use. Raises AuditUnavailable: there is none, or its key cannot be opened."""
        generation = self._generation()
        held = self._held
        if held is None or held.generation != generation:
            held = self._refresh(generation)
        return held

    def digest(self, data: bytes) -> KeyedDigest:
        """Of an input, under the epoch in use. Raises AuditUnavailable."""
        held = self.current()
        return KeyedDigest(held.epoch, held.key.mac(data).hex())

    def unseal(self, epoch: Epoch) -> MacKey:
        """The key of any epoch that was not destroyed. Raises IntegrityError."""
        try:
            return self._custody.unseal_mac_key(epoch.sealed, epoch.identity(self._origin))
        except NativeError as error:
            raise IntegrityError(
                f"audit: {FILE}: the key of epoch {epoch.number} cannot be opened: {error}"
            ) from None

    def after_fork(self) -> None:
        """To be called in each child: a lock that was held at the fork is nobody's."""
        self._lock = Lock()

    def _refresh(self, generation: int) -> DigestKey:
        with self._lock:
            held = self._held
            if held is not None and held.generation == generation:
                return held
            try:
                epoch = read_epochs(self._directory).current
                if epoch is None:
                    raise AuditUnavailable("the audit log has no digest key yet; see the server's log")
                same = held is not None and held.epoch == epoch.number
                key = held.key if held is not None and same else self.unseal(epoch)
            except (IntegrityError, OSError) as error:
                raise AuditUnavailable(
                    f"the digest key of the audit log cannot be read, so nothing is done: {error}"
                ) from error
            self._held = made = DigestKey(generation, epoch.number, key)
            return made
