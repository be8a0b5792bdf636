"""How the parts of the audit log fit together; made by the composition root (``ronkms.app``) alone.

Everything in ``__init__`` runs in the arbiter, before the forks. What the methods make belongs to the admin
process, or that of the sinks, once, after the fork.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from ronkms_native import Arena, AuditDamaged, AuditLog, AuditWriteError, Custody

from ronkms.audit.archive import Archive
from ronkms.audit.checkpoint_files import CheckpointFiles
from ronkms.audit.checkpointer import Checkpointer
from ronkms.audit.digest_epochs import read_epochs
from ronkms.audit.digest_keys import DigestKeys
from ronkms.audit.digest_rotation import DigestRotation
from ronkms.audit.escrow import read_recipient
from ronkms.audit.intents import needed_segment as segment_needed_for_intents
from ronkms.audit.log import AuditLogTrail
from ronkms.audit.log_anchor import LogAnchor
from ronkms.audit.log_keys import LogSigner, ensure_log_keys
from ronkms.audit.note import NoteKey
from ronkms.audit.receipt import CheckpointReceipts
from ronkms.audit.recheck import LogRecheck
from ronkms.audit.retention import Retention, RetentionRules
from ronkms.audit.sinks.board import SinkBoard, missing_sinks
from ronkms.audit.sinks.composition import make_deliveries, prepare_positions
from ronkms.audit.sinks.feeder import SinkFeeder
from ronkms.audit.sinks.position import needed_segment as segment_needed_for_sinks
from ronkms.audit.summary import RefusalSummary
from ronkms.audit.tree_state import check_log
from ronkms.audit.witness_client import submit
from ronkms.audit.witness_reporter import WitnessReporter
from ronkms.config.settings import Settings
from ronkms.domain.measure import AUDIT_CHECKPOINT, AUDIT_DIGEST, AUDIT_RECEIPT, COUNTER_INDEX
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import (
    AuditUnavailable,
    BadRequest,
    ConfigError,
    IntegrityError,
    KmsError,
    StartError,
    Unavailable,
)
from ronkms.journal import AnchorKeeper

SINKS_PRINCIPAL: Final = "system:audit-sinks"
LOSS_PRINCIPAL: Final = "system:audit"

_log = structlog.get_logger()


class AuditParts:
    """``trail`` writes records, ``digest_keys`` make their digests, ``digest_rotation`` renews those keys."""

    def __init__(self, settings: Settings, directory: Path, arena: Arena, custody: Custody) -> None:
        """Raises IntegrityError: the log is damaged; StartError, ConfigError, OSError."""
        self._settings = settings
        self._directory = directory
        self._arena = arena
        self._custody = custody
        log = _open_audit_log(settings, arena, directory)
        self._found = log.head
        prepare_positions(settings.audit_sinks, directory, log.head)
        self._origin = ensure_log_keys(directory, custody).origin
        self.digest_epochs_found = len(read_epochs(directory).epochs)
        """Before this start made one."""
        self.digest_keys = DigestKeys(
            directory, self._origin, custody, partial(arena.generation, AUDIT_DIGEST)
        )
        self.trail = AuditLogTrail(
            log,
            digests=self.digest_keys,
            sync_all=settings.audit_sync == "all",
            count=self._counter("kms_audit_records_total"),
        )
        recipient = settings.audit_escrow_public_key
        self.digest_rotation = DigestRotation(
            directory,
            self._origin,
            custody=custody,
            keys=self.digest_keys,
            trail=self.trail,
            bump=partial(arena.bump, AUDIT_DIGEST),
            recipient=read_recipient(Path(recipient)) if recipient else None,
            period_days=settings.audit_digest_key_days,
        )
        self.digest_rotation.start()
        self.sink_board = SinkBoard([sink.name for sink in settings.audit_sinks])
        self.refusal_summary = RefusalSummary(arena, self.trail)
        self.receipts = CheckpointReceipts(
            directory,
            log,
            ask=partial(arena.bump, AUDIT_RECEIPT),
            published=partial(arena.generation, AUDIT_CHECKPOINT),
        )

    def look_for_loss(self, keeper: AnchorKeeper) -> None:
        """Whether ``audit/`` alone was removed or rolled back, by what ``keeper`` remembers: then a record of
        the log says so, once, and the failure is counted. In the arbiter, before it serves.

        Raises OSError."""
        anchor = LogAnchor(self._directory, self._origin, keeper)
        fault = anchor.fault(*self._found)
        if fault:
            self._counter("kms_audit_integrity_failed_total")()
            _log.error(
                "audit_integrity_failed", error=fault, advice="put audit/ back as it was, or find out why"
            )
            try:
                self.trail.record(
                    op=Operation.ADMIN,
                    outcome=Outcome.ERROR,
                    tenant="",
                    token_id=LOSS_PRINCIPAL,
                    corr_id=secrets.token_hex(16),
                    code="integrity",
                    detail=f"audit.lost {fault}",
                )
            except AuditUnavailable:  # the next start says it again
                return
        self.remember(keeper)

    def remember(self, keeper: AnchorKeeper) -> None:
        """Lets ``keeper`` remember the log as far as it is on disk."""
        log = self.trail.native
        records, leaf = log.head
        if not records:
            return
        try:
            log.wait_durable(records - 1)
            LogAnchor(self._directory, self._origin, keeper).remember(records, leaf)
        except (AuditWriteError, KmsError) as error:
            _log.warning("audit_not_anchored", error=str(error), advice="it is tried again")

    def missing(self) -> list[str]:
        """What keeps operations from being recorded, in words; empty when nothing does."""
        missing = [] if self.trail.writable() else ["audit: the log cannot be written"]
        try:
            self.digest_keys.current()
        except AuditUnavailable as error:
            missing.append(f"audit: {error}")
        return missing + missing_sinks(self._settings.audit_sinks, self.sink_board)

    def checkpointer(self) -> Checkpointer:
        """Raises IntegrityError, OSError."""
        return Checkpointer(
            self._directory,
            log=self.trail.native,
            signer=LogSigner(self._directory, self._custody),
            wanted=partial(self._arena.generation, AUDIT_RECEIPT),
            announce=partial(self._arena.bump, AUDIT_CHECKPOINT),
            retention_days=self._settings.audit_retention_days,
            count_failure=self._counter("kms_audit_integrity_failed_total"),
        )

    def witness_reporter(self) -> WitnessReporter | None:
        """If there is a witness; behind the checkpointer."""
        settings = self._settings
        if not settings.audit_witness_url:
            return None
        return WitnessReporter(
            self._directory,
            settings.audit_witness_url,
            _witness_key(settings),
            required=settings.audit_witness_required,
            count_failure=self._counter("kms_audit_integrity_failed_total"),
            count_error=self._counter("kms_audit_witness_failed_total"),
        )

    def sink_feeder(self, publish: Callable[[str, Mapping[str, str | int]], None]) -> SinkFeeder:
        """``publish`` takes an event. Raises IntegrityError, OSError."""
        deliveries = make_deliveries(
            self._settings.audit_sinks,
            self._directory,
            log=self.trail.native,
            board=self.sink_board,
            report_dropped=self._record_dropped,
            count_failure=self._counter("kms_audit_integrity_failed_total"),
        )
        return SinkFeeder(
            deliveries,
            self.sink_board,
            log=self.trail.native,
            grant_lease=self.trail.native.grant_lease,
            publish=publish,
        )

    def _record_dropped(self, sink: str, first: int, last: int) -> None:
        self.trail.record(
            op=Operation.ADMIN,
            outcome=Outcome.ERROR,
            tenant="",
            token_id=SINKS_PRINCIPAL,
            corr_id=secrets.token_hex(16),
            code="audit_sink_dropped",
            detail=f"sink {sink} skipped records {first} to {last}",
        )

    def retention(self, *needed: Callable[[], int]) -> Callable[[], None]:
        """What archiving and retention do in one turn. ``needed``: the oldest segments that others read."""
        settings = self._settings
        archive = settings.audit_archive_path
        retention = Retention(
            self._directory,
            rules=RetentionRules(settings.audit_segment_seconds, settings.audit_retention_days),
            archive=None if archive is None else Archive(archive, self._origin),
            log=self.trail.native,
            trail=self.trail,
            needed=(
                partial(segment_needed_for_intents, self._directory),
                partial(
                    segment_needed_for_sinks, self._directory, [sink.name for sink in settings.audit_sinks]
                ),
                *needed,
            ),
        )

        def turn() -> None:
            done = retention.turn()
            self._arena.count(COUNTER_INDEX["kms_audit_segments_archived_total"], done.copied)
            self._arena.count(COUNTER_INDEX["kms_audit_segments_removed_total"], done.removed)
            self._arena.count(COUNTER_INDEX["kms_audit_retention_failed_total"], int(done.failed))

        return turn

    def recheck(self) -> LogRecheck:
        """Behind the checkpointer."""
        return LogRecheck(self._directory, self._counter("kms_audit_integrity_failed_total"))

    def keep_digest_keys(self) -> None:
        """Renews the digest key by its period, and writes what is to be escrowed."""
        # A log that cannot be written is told by readiness; the next turn tries again.
        with suppress(AuditUnavailable):
            self.digest_rotation.turn()

    def _counter(self, name: str) -> Callable[[], None]:
        return partial(self._arena.count, COUNTER_INDEX[name])


def _open_audit_log(settings: Settings, arena: Arena, directory: Path) -> AuditLog:
    try:
        log = AuditLog.open(arena, str(directory), settings.audit_segment_bytes)
    except AuditDamaged as error:
        raise IntegrityError(
            f"audit: {error}; keep the directory as evidence, see ronctl audit verify"
        ) from None
    except AuditWriteError as error:
        raise StartError(f"audit: {error}") from None
    try:
        check_log(directory, *log.head, archive=_archive_that_is_there(settings))
        if settings.audit_witness_url:
            _ask_witness(settings, directory)
    except IntegrityError as error:
        arena.count(COUNTER_INDEX["kms_audit_integrity_failed_total"])
        raise IntegrityError(f"{error}; keep the directory as evidence, see ronctl audit verify") from None
    if log.recovered_bytes:
        _log.warning("audit_tail_quarantined", bytes=log.recovered_bytes, directory=str(directory))
    return log


def _archive_that_is_there(settings: Settings) -> Path | None:
    archive = settings.audit_archive_path
    return archive if archive is not None and archive.is_dir() else None


def _witness_key(settings: Settings) -> NoteKey:
    try:
        return NoteKey.parse(settings.audit_witness_key)
    except ValueError as error:
        raise ConfigError(f"audit_witness_key: {error}") from None


def _ask_witness(settings: Settings, directory: Path) -> None:
    """Raises IntegrityError: the witness knows more of the log, or another one."""
    key = _witness_key(settings)
    if not CheckpointFiles(directory).latest():
        return
    try:
        submit(directory, settings.audit_witness_url, key)
    except Unavailable as error:
        if settings.audit_witness_required:
            raise StartError(f"audit_witness_url: {error}") from None
        _log.warning("audit_witness_unavailable", error=str(error))
    except BadRequest as error:
        raise ConfigError(f"audit_witness_url: {error}") from None
