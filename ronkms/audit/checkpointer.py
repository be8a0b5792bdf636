"""Follows the log into the tree and signs checkpoints: a thread of the admin process.

The workers give it nothing but the log; a receipt asks for a checkpoint at once by a counter in the arena.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import structlog

from ronkms.audit.checkpoint_files import CheckpointFiles
from ronkms.audit.log_keys import LogSigner
from ronkms.audit.note import Note, NoteKey
from ronkms.audit.tree_state import follower_behind, open_tree
from ronkms.errors import IntegrityError, KmsError

INTERVAL_SECONDS: Final = 1.0
HISTORY_SECONDS: Final = 60.0
THINNING_SECONDS: Final = 3600.0
HISTORY_DAYS: Final = 90.0
"""How long the history keeps a checkpoint of each hour where the log has no retention."""
POLL_SECONDS: Final = 0.005
"""How soon a wish for a receipt is seen."""
RETRY_SECONDS: Final = 1.0

_log = structlog.get_logger()


class FollowedLog(Protocol):
    """The part of ``ronkms_native.AuditLog`` that is used here."""

    @property
    def durable(self) -> int: ...
    @property
    def head(self) -> tuple[int, str]: ...
    def wait_durable(self, seq: int) -> None: ...


class Checkpointer:
    """One a server. ``wanted`` changes when somebody waits for a checkpoint; ``announce`` is called after
    each; ``count_failure`` when the log proves to be changed."""

    def __init__(
        self,
        directory: Path,
        *,
        log: FollowedLog,
        signer: LogSigner,
        wanted: Callable[[], int],
        announce: Callable[[], object],
        count_failure: Callable[[], object],
        retention_days: float = 0.0,
    ) -> None:
        """Raises IntegrityError, OSError."""
        self._directory = directory
        self._log = log
        self._signer = signer
        self._wanted = wanted
        self._announce = announce
        self._count_failure = count_failure
        self._history_days = retention_days or HISTORY_DAYS
        self._thinning_due = 0.0
        self._files = CheckpointFiles(directory)
        checkpoint, self._tree, self._follower = open_tree(directory)
        self._size = checkpoint.size
        self._unkept: Note | None = None
        self._history_due = 0.0
        self._fault = ""
        self._broken = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpointer", daemon=True)

    @property
    def keys(self) -> tuple[NoteKey, ...]:
        """The log's public keys, retired ones included."""
        return self._signer.keys

    @property
    def key_set(self) -> int:
        """Number of the keys that sign."""
        return self._signer.number

    def start(self) -> None:
        """Begins to follow."""
        self._thread.start()

    def stop(self) -> None:
        """One checkpoint over everything, kept in the history; then the thread ends."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(5.0)
        records = self._log.head[0]
        try:
            if records:
                self._log.wait_durable(records - 1)
        except Exception as error:  # noqa: BLE001  # native; what is durable is signed all the same
            _log.warning("audit_sync_failed", error=str(error))
        self._guarded_step()
        self._keep_last()
        self._tree.close()

    def missing(self) -> list[str]:
        """For readiness: why there are no checkpoints; empty if all is well."""
        return [f"audit: no checkpoints: {self._fault}"] if self._fault else []

    def rotate_keys(self) -> tuple[NoteKey, ...]:
        """A last checkpoint by the old keys, then one by new ones, both in the history.

        Returns the new public keys. Raises IntegrityError, OSError."""
        with self._lock:
            self._sign(history=True)
            made = self._signer.rotate()
            self._sign(history=True)
        return made

    def step(self, *, history: bool = False) -> None:
        """Takes in what is durable, and signs if that is anything new. Raises IntegrityError, OSError."""
        with self._lock:
            end = self._log.durable
            if self._follower.record != self._tree.size:
                # The tree could not be written, as on a full disk: it lacks what had been read for it.
                self._follower = follower_behind(self._tree, self._directory)
            while leaves := self._follower.read(end):
                self._tree.append(leaves)
            if self._follower.record < end:
                raise IntegrityError(
                    f"{self._follower.segment} ends after {self._follower.record} of {end} records: cut"
                )
            if self._tree.size > self._size:
                self._sign(history=history)

    def _sign(self, *, history: bool) -> Note:
        self._tree.sync()
        note = self._signer.sign(self._tree.size, self._tree.root())
        self._files.replace_latest(note)
        self._size = self._tree.size
        if history:
            self._files.add_to_history(note)
        self._unkept = None if history else note
        self._announce()
        return note

    def _thin_history(self, now: float) -> None:
        if now < self._thinning_due:
            return
        self._thinning_due = now + THINNING_SECONDS
        try:
            with self._lock:
                dropped = self._files.thin_history(now=time.time(), retention_days=self._history_days)
        except OSError as error:  # it stays as it is
            _log.warning("audit_history_not_thinned", error=str(error))
            return
        if dropped:
            _log.info("audit_history_thinned", checkpoints=dropped)

    def _keep_last(self) -> None:
        if self._unkept is not None:
            try:
                self._files.add_to_history(self._unkept)
            except (OSError, KmsError) as error:
                _log.error("audit_checkpoint_failed", error=str(error))

    def _run(self) -> None:
        due, seen = 0.0, self._wanted()
        while not self._stop.is_set() and not self._broken:
            now, wanted = time.monotonic(), self._wanted()
            if wanted != seen or now >= due:
                seen = wanted
                self._guarded_step()
                due = time.monotonic() + INTERVAL_SECONDS
            self._stop.wait(POLL_SECONDS if not self._fault else RETRY_SECONDS)

    def _guarded_step(self) -> None:
        if self._broken:
            return
        now = time.monotonic()
        history = now >= self._history_due
        before = self._size
        try:
            self.step(history=history)
            self._thin_history(now)
        except IntegrityError as error:
            self._broken = True
            self._fault = str(error)
            self._count_failure()
            _log.error("audit_integrity_failed", error=str(error), advice="keep the directory as evidence")
        except (OSError, KmsError) as error:
            if not self._fault:
                _log.error("audit_checkpoint_failed", error=str(error))
            self._fault = str(error)
        else:
            self._fault = ""
            if history and self._size > before:
                self._history_due = now + HISTORY_SECONDS
