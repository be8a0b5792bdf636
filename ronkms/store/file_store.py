"""The embedded key store: sealed records beside a journal (docs/formats/keystore.md)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

import structlog

from ronkms.domain.algorithm import algorithm
from ronkms.domain.key import Key, KeyState, Origin, check_key_id, record_identity
from ronkms.domain.key_policy import KeyPolicy, PolicyChange
from ronkms.domain.lifecycle import changes_key, check_transition
from ronkms.errors import BackendUnavailable, BadRequest, Conflict, IntegrityError, KeyDisabled, StartError
from ronkms.journal import ChangeSignal, JournalAnchor, SealedJournal
from ronkms.journal.durable_file import make_directory
from ronkms.journal.line import Mac
from ronkms.store.journal_entry import (
    AddVersion,
    Create,
    Destroy,
    Entry,
    Reserve,
    SetPolicy,
    SetStage,
    SetState,
    VersionFields,
    anchor_entries,
    encode_entry,
)
from ronkms.store.keyring import Keyring, Retired
from ronkms.store.pending_record import PendingFile, PendingRecord
from ronkms.store.protocol import Condition, Seal
from ronkms.store.record_check import damaged_records, read_record, record_name, settle_surplus
from ronkms.store.record_files import RecordFiles
from ronkms.store.server_lock import ServerLock

JOURNAL: Final = "journal"
_OPTIMISTIC_TRIES: Final = 2

_log = structlog.get_logger("ronkms.store")


def _seconds() -> int:
    return int(time.time())


def _always(_: Key) -> None:
    """No condition."""


class FileStore:
    """Implements ``store.protocol.KeyStore``; opened by the parent before it forks."""

    name = "file"

    def __init__(
        self,
        directory: Path,
        *,
        mac: Mac,
        signal: ChangeSignal,
        on_damaged: Callable[[], object],
        on_retired: Retired,
        now: Callable[[], int] = _seconds,
    ) -> None:
        """Locks the directory (made if missing, 0700), recovers from a crash, checks every record.

        ``mac`` is ``Custody.mac``; ``signal`` the keyring generation; ``on_damaged`` is called once for each
        record found damaged; ``on_retired`` with (backend, identity) of each version that stops being usable,
        in whichever process. Raises StartError (in use, or the disk), IntegrityError (damaged, rolled back).
        """
        self._on_damaged = on_damaged
        self._now = now
        self._keyring = Keyring(on_retired)
        try:
            self._open(directory, mac, signal)
        except OSError as error:
            raise StartError(
                f"the key store cannot use {error.filename or directory}: {error.strerror}"
            ) from error

    def _open(self, directory: Path, mac: Mac, signal: ChangeSignal) -> None:
        make_directory(directory)
        with ExitStack() as on_failure:
            self._server_lock = ServerLock(directory / "lock")
            on_failure.callback(self._server_lock.close)
            self._pending = PendingFile(directory / "pending")
            on_failure.callback(self._pending.close)
            self._files = RecordFiles(directory)
            self._journal = SealedJournal.open(
                directory, JOURNAL, mac=mac, state=self._keyring, signal=signal
            )
            on_failure.callback(self._journal.close)
            self._check_directory()
            on_failure.pop_all()

    def _check_directory(self) -> None:
        abandoned = self._files.clear_staging()
        if abandoned:
            _log.warning("uncommitted_records_removed", count=abandoned)
        settle_surplus(self._files, self._keyring)
        self._pending.clear()
        for key, number, fault in list(damaged_records(self._files, self._keyring)):
            self._report_damaged(key, number, fault)

    # --- anchors of other journals

    def anchor(self, journal: str) -> JournalAnchor | None:
        """See ``journal.AnchorKeeper``."""
        return self._keyring.anchor(journal)

    def set_anchor(self, journal: str, anchor: JournalAnchor) -> None:
        """See ``journal.AnchorKeeper``."""
        with _disk(), self._exclusive():
            for entry in anchor_entries(journal, anchor):
                self._journal.append(encode_entry(entry))

    # --- reading

    def refresh(self) -> None:
        """Replays what other processes changed. Raises BackendUnavailable: the journal is damaged."""
        try:
            self._journal.refresh()
        except (OSError, IntegrityError) as error:
            raise _unavailable(error) from error

    def catch_up(self) -> None:
        """As :meth:`refresh`, reservations of other processes included. Raises BackendUnavailable."""
        with _disk():
            self._journal.catch_up()

    def settle(self) -> None:
        """See ``store.protocol.KeyStore``."""
        with _disk(), self._exclusive():
            self.catch_up()

    def get(self, tenant: str, key_id: str) -> Key:
        """Raises NotFound."""
        return self._keyring.get(tenant, key_id)

    def find(self, tenant: str, key_id: str) -> Key | None:
        """The key, or None."""
        return self._keyring.find(tenant, key_id)

    def page(self, tenant: str, *, after: str = "", limit: int = 100) -> list[Key]:
        """Keys of the tenant in key-id order, those greater than ``after``, at most ``limit``."""
        return self._keyring.page(tenant, after, limit)

    def every_key(self) -> Iterator[Key]:
        """All keys of all tenants, as of now."""
        return self._keyring.every_key()

    def record(self, tenant: str, key_id: str, version: int) -> bytes:
        """The sealed record, checked against the journal. Raises NotFound, KeyDisabled (destroyed),
        BackendUnavailable (damaged; the message names it)."""
        key = self._keyring.get(tenant, key_id)
        wanted = key.version(version)
        if wanted.state is KeyState.DESTROYED:
            raise KeyDisabled(f"key {key_id} version {version} is destroyed")
        record, fault = read_record(self._files, key, wanted)
        if fault:
            raise BackendUnavailable(self._report_damaged(key, version, fault))
        if self._keyring.clear_damaged(tenant, key_id, version):
            _log.info("record_good_again", record=record_name(self._files, key, version))
        return record

    def due_for_destruction(self, now: int) -> list[tuple[str, str, int | None]]:
        """(tenant, key_id, version or None for the whole key) whose window has passed at ``now``."""
        return self._keyring.due(now)

    def due_for_rotation(self, now: int) -> list[Key]:
        """Keys whose rotation period has passed at ``now``, by tenant and key id."""
        return self._keyring.due_for_rotation(now)

    def due_for_disabling(self, now: int) -> list[Key]:
        """Keys that are disabled in stages and refuse everything at ``now``, by tenant and key id."""
        return self._keyring.due_for_disabling(now)

    def damaged(self) -> list[str]:
        """Names of records found damaged by this process: tenant/key_id/version (file)."""
        return self._keyring.damaged()

    def count(self) -> dict[tuple[str, str], int]:
        """Keys by (state, alg)."""
        return self._keyring.count()

    # --- writing

    def create(
        self,
        *,
        tenant: str,
        key_id: str,
        alg: str,
        backend: str,
        labels: Mapping[str, str],
        policy: KeyPolicy,
        origin: Origin,
        seal: Seal,
    ) -> Key:
        """A new key with version 1. Raises Conflict if it exists (in any state), BadRequest,
        BackendUnavailable (the disk)."""
        usage = algorithm(alg).usage
        check_key_id(key_id)

        def require_free() -> None:
            if self._keyring.find(tenant, key_id) is not None:
                raise Conflict(f"key {key_id} exists already")

        require_free()
        with _disk():
            staged, version = self._stage(tenant, key_id, 1, alg, origin, seal)
            with self._discarding(staged), self._exclusive():
                require_free()
                entry = Create(
                    tenant=tenant,
                    key_id=key_id,
                    usage=usage,
                    backend=backend,
                    labels=dict(labels),
                    policy=policy,
                    at=version.at,
                    version=version,
                )
                self._commit(staged, PendingRecord(tenant, key_id, 1), entry)
        return self._keyring.get(tenant, key_id)

    def add_version(
        self,
        tenant: str,
        key_id: str,
        *,
        alg: str,
        origin: Origin,
        seal: Seal,
        condition: Condition = _always,
    ) -> Key:
        """The next version, enabled; ``alg`` may be another of the same usage.

        The material is made outside the lock for the number that should be next, and made again if another
        process took that number; ``condition`` is asked before that and again under the lock. Raises
        NotFound, KeyDisabled (key is not enabled), Conflict (other usage), BackendUnavailable (the disk), and
        what ``condition`` raises."""
        with _disk():
            for _ in range(_OPTIMISTIC_TRIES):
                number = self._next_number(tenant, key_id, alg, condition)
                staged, version = self._stage(tenant, key_id, number, alg, origin, seal)
                with self._discarding(staged), self._exclusive():
                    if self._next_number(tenant, key_id, alg, condition) == number:
                        return self._commit_version(staged, tenant, key_id, version)
            with self._exclusive():
                number = self._next_number(tenant, key_id, alg, condition)
                staged, version = self._stage(tenant, key_id, number, alg, origin, seal)
                with self._discarding(staged):
                    return self._commit_version(staged, tenant, key_id, version)

    def set_state(
        self,
        tenant: str,
        key_id: str,
        state: KeyState,
        *,
        version: int | None = None,
        destroy_at: int | None = None,
        condition: Condition = _always,
    ) -> Key:
        """Sets the state of the key or of one version. Unchanged if it holds already.

        Raises NotFound, Conflict, BadRequest (``destroy_at`` missing or surplus), BackendUnavailable, and
        what ``condition`` raises."""
        if (destroy_at is not None) != (state is KeyState.DESTROY_SCHEDULED):
            raise BadRequest("destroy_at goes with destroy_scheduled, and with it alone")
        if state is KeyState.DESTROYED:
            raise Conflict("a key becomes destroyed by destroy, after its window")
        with _disk(), self._exclusive():
            condition(self._keyring.get(tenant, key_id))
            if self._transition(tenant, key_id, version, state):
                entry = SetState(
                    tenant=tenant, key_id=key_id, number=version, state=state, destroy_at=destroy_at
                )
                self._journal.append(encode_entry(entry))
            return self._keyring.get(tenant, key_id)

    def stage_disable(self, tenant: str, key_id: str, percent: int, over: int) -> Key:
        """Lets an enabled key refuse ``percent`` of its requests within ``over`` seconds from now.

        Raises NotFound, Conflict (``Key.next_stage``), BackendUnavailable."""
        with _disk(), self._exclusive():
            staged = self._keyring.get(tenant, key_id).next_stage(percent, over, self._now())
            self._journal.append(encode_entry(SetStage(tenant=tenant, key_id=key_id, staged=staged)))
            return self._keyring.get(tenant, key_id)

    def set_policy(self, tenant: str, key_id: str, change: PolicyChange) -> Key:
        """Changes the key's policy. Unchanged if it holds already.

        Raises NotFound, BadRequest (not possible for this key), Conflict (destroyed), BackendUnavailable."""
        with _disk(), self._exclusive():
            key = self._keyring.get(tenant, key_id)
            policy = key.changed_policy(change)
            if policy != key.policy:
                self._journal.append(encode_entry(SetPolicy(tenant=tenant, key_id=key_id, policy=policy)))
            return self._keyring.get(tenant, key_id)

    def reserve(self, tenant: str, key_id: str, number: int, count: int) -> tuple[int, bool]:
        """Gives this process operations of a version, durably; the others see it when they reserve.

        Returns (how many, whether they are the last). Raises NotFound, KeyDisabled, KeyExhausted,
        BackendUnavailable."""
        with _disk(), self._exclusive():
            key = self._keyring.get(tenant, key_id)
            granted = key.reservation(number, count)
            if key.policy.max_operations is None:
                return granted, False
            entry = Reserve(
                tenant=tenant,
                key_id=key_id,
                number=number,
                reserved=key.versions[number].reserved + granted,
            )
            self._journal.append(encode_entry(entry), tell=False)
            return granted, self._keyring.get(tenant, key_id).operations_left(number) == 0

    def destroy(
        self, tenant: str, key_id: str, *, version: int | None = None, due_by: int | None = None
    ) -> Key:
        """Removes the material for good; the metadata stays. Idempotent.

        ``due_by``: only if the window has passed at that time, checked under the lock. Raises NotFound,
        Conflict (not scheduled, or not due), BackendUnavailable (the disk; to be repeated)."""
        with _disk(), self._exclusive():
            key = self._keyring.get(tenant, key_id)
            owner = key if version is None else key.version(version)
            if owner.state is not KeyState.DESTROYED:
                self._transition(tenant, key_id, version, KeyState.DESTROYED)
                if due_by is not None and (owner.destroy_at is None or owner.destroy_at > due_by):
                    raise Conflict(f"the destruction window of {key_id} has not passed")
                self._journal.append(encode_entry(Destroy(tenant=tenant, key_id=key_id, number=version)))
            for number in key.versions if version is None else (version,):
                self._files.remove(self._files.file(tenant, key_id, number))
            return self._keyring.get(tenant, key_id)

    # --- life of the process

    def after_fork(self) -> None:
        """To be called in each child: own locks and descriptors."""
        self._journal.after_fork()

    def close(self) -> None:
        """Releases the directory once every process of the server has closed it or ended."""
        self._journal.close()
        self._pending.close()
        self._server_lock.close()

    # --- steps

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._journal.exclusive():
            self._settle_pending()
            yield

    def _settle_pending(self) -> None:
        """A process died while it committed a record: what the journal does not know goes to quarantine."""
        pending = self._pending.read()
        if pending is None:
            return
        key = self._keyring.find(pending.tenant, pending.key_id)
        if key is None or pending.number not in key.versions:
            self._quarantine(self._files.file(pending.tenant, pending.key_id, pending.number))
        self._pending.clear()

    def _quarantine(self, file: str) -> None:
        moved = self._files.quarantine(file)
        if moved is not None:
            _log.warning("record_quarantined", file=file, quarantine=str(moved))

    def _stage(
        self, tenant: str, key_id: str, number: int, alg: str, origin: Origin, seal: Seal
    ) -> tuple[Path, VersionFields]:
        record, public = seal(record_identity(tenant, key_id, number, alg))
        staged = self._files.stage(record)
        digest = sha256(record).digest()
        return staged, VersionFields(
            number=number, alg=alg, origin=origin, at=self._now(), public=public, digest=digest
        )

    @contextmanager
    def _discarding(self, staged: Path) -> Iterator[None]:
        """Removes the staged file unless it was committed."""
        try:
            yield
        finally:
            staged.unlink(missing_ok=True)

    def _commit_version(self, staged: Path, tenant: str, key_id: str, version: VersionFields) -> Key:
        entry = AddVersion(tenant=tenant, key_id=key_id, version=version)
        self._commit(staged, PendingRecord(tenant, key_id, version.number), entry)
        return self._keyring.get(tenant, key_id)

    def _commit(self, staged: Path, pending: PendingRecord, entry: Entry) -> None:
        """Record first, then the journal entry that makes it exist."""
        file = self._files.file(pending.tenant, pending.key_id, pending.number)
        self._quarantine(file)
        self._pending.set(pending)
        self._files.commit(staged, file)
        try:
            self._journal.append(encode_entry(entry))
        except BackendUnavailable:
            if not self._journal.failed:
                self._files.remove(file)
                self._pending.clear()
            raise
        self._pending.clear()

    def _next_number(self, tenant: str, key_id: str, alg: str, condition: Condition) -> int:
        key = self._keyring.get(tenant, key_id)
        key.require_enabled()
        condition(key)
        key.require_alg(alg)
        if algorithm(alg).usage is not key.usage:
            raise Conflict(f"key {key_id} is for {key.usage}; {alg} is not")
        return len(key.versions) + 1

    def _transition(self, tenant: str, key_id: str, number: int | None, state: KeyState) -> bool:
        key = self._keyring.get(tenant, key_id)
        if number is None:
            return changes_key(key, state)
        return check_transition(f"key {key_id} version {number}", key.version(number).state, state)

    def _report_damaged(self, key: Key, number: int, fault: str) -> str:
        name = record_name(self._files, key, number)
        if self._keyring.mark_damaged(key.tenant, key.key_id, number, name):
            _log.error("record_damaged", record=name, fault=fault)
            self._on_damaged()
        return f"record {name} is {fault}; restore the file from a backup, or rotate the key"


@contextmanager
def _disk() -> Iterator[None]:
    """Turns what the disk does at run time into an answer for the caller; the log has the details."""
    try:
        yield
    except (OSError, IntegrityError) as error:
        raise _unavailable(error) from error


def _unavailable(error: OSError | IntegrityError) -> BackendUnavailable:
    if isinstance(error, IntegrityError):
        _log.critical("keystore_damaged", error=str(error))
        return BackendUnavailable("the key store's journal is damaged; the log says where")
    _log.error("keystore_disk_error", error=str(error))
    return BackendUnavailable(f"the key store cannot use its disk: {error.strerror}")
