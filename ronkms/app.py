"""The composition root: the only place that knows how the parts fit together.

Everything here is made in the arbiter, before the forks: it starts no thread, and what must not be shared
between processes is reopened by :meth:`Application.after_fork`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from ronkms_native import Arena, ArenaError, Custody

from ronkms.api.app import create_wsgi
from ronkms.api.entry import Entry
from ronkms.api.openapi_documents import served_documents
from ronkms.audit.intents import IntentLedger
from ronkms.audit.log_keys import newest_key_set
from ronkms.audit_parts import AuditParts
from ronkms.backends.protocol import Backend
from ronkms.backends.registry import FACTORIES, open_backend
from ronkms.bus.local import LocalBus
from ronkms.capability.registry import CapabilityRegistry
from ronkms.capability.verifier import BiscuitVerifier
from ronkms.config.data_directory import prepare_data_directory
from ronkms.config.settings import Settings
from ronkms.domain.measure import (
    ALGS,
    CAPABILITY,
    COUNTER_INDEX,
    COUNTERS,
    EXTERNAL_POLICY,
    GAUGE_INDEX,
    GAUGES,
    GENERATIONS,
    KEYRING,
    OPS,
    OUTCOMES,
    POLICY,
)
from ronkms.errors import AuditUnavailable, KmsError, StartError
from ronkms.journal import ChangeSignal
from ronkms.observe.clock import ClockSkew
from ronkms.policy.entry import DefaultsSet
from ronkms.policy.external.connect import connector, limits
from ronkms.policy.external.decisions import Decisions
from ronkms.policy.external.operation_class import OperationClass
from ronkms.policy.external.probe import Probe
from ronkms.policy.pq import VerifyMode
from ronkms.policy.registry import PolicyRegistry
from ronkms.seal import open_custody
from ronkms.service.admin_recovery import AdminRecovery
from ronkms.service.external_policy import ExternalPolicy
from ronkms.service.external_policy_meter import ArenaMeter
from ronkms.service.hot_path import HotPath
from ronkms.service.kms import KmsService
from ronkms.service.orphaned_intents import end_orphans
from ronkms.service.policy_start import adopt_defaults, record_accepted_loss
from ronkms.service.recovery import Recovery
from ronkms.service.recovery_verdict import Verdict
from ronkms.store.file_store import FileStore
from ronkms.usage.database import USAGE_FILE
from ronkms.usage.database import needed_segment as segment_needed_for_usage
from ronkms.usage.reader import LoggedUsage
from ronkms.usage.recorder import UsageRecorder

SPARE_SLOTS: Final = 4
"""Arena slots beyond workers, admin and sinks process: a successor may start before its predecessor is
buried."""
PREPARED_AT_ONCE: Final = 16
"""Hybrid versions that one turn of the chore makes at most."""
TENANTS: Final = 4096
"""Rows of the fair-share table: tenants that are active at the same time."""

_log = structlog.get_logger()


class Application:
    """The composed service. Workers and the admin process get it by the fork."""

    def __init__(self, settings: Settings) -> None:
        """Raises :class:`StartError`: what is on disk cannot be used, or another server uses it."""
        self.settings = settings
        self.clock_skew = ClockSkew()
        with ExitStack() as opened:
            try:
                self._open(settings, prepare_data_directory(settings.data_path), opened)
            except OSError as error:
                raise StartError(f"data_dir: {error}") from None
            self._opened = opened.pop_all()

    def _open(self, settings: Settings, directory: Path, opened: ExitStack) -> None:
        self.custody: Custody = open_custody(settings, directory / "keystore")
        opened.callback(self.custody.wipe)
        self.arena = _make_arena(settings)
        self.arena.set_gauge(GAUGE_INDEX["kms_attestation_ready"], 1.0)
        self.backends: dict[str, Backend] = {name: open_backend(name, self.custody) for name in FACTORIES}
        self.store = FileStore(
            directory / "keystore",
            mac=self.custody.mac,
            signal=self._change_signal(KEYRING),
            on_damaged=self._counter("kms_keystore_damaged_records_total"),
            on_retired=lambda backend, identity: self.backends[backend].evict(identity),
        )
        opened.callback(self.store.close)
        self.capability_registry = CapabilityRegistry.open(
            directory, mac=self.custody.mac, signal=self._change_signal(CAPABILITY)
        )
        opened.callback(self.capability_registry.close)
        self.capabilities = BiscuitVerifier(self.capability_registry)
        self.bus = LocalBus(directory / "bus")
        opened.callback(self.bus.close)
        self.audit_parts = AuditParts(settings, directory / "audit", self.arena, self.custody)
        self.audit_parts.look_for_loss(self.store)
        self.audit = self.audit_parts.trail
        self.digest_rotation = self.audit_parts.digest_rotation
        self.sink_board = self.audit_parts.sink_board
        self.policy_registry = PolicyRegistry.open(
            directory,
            mac=self.custody.mac,
            signal=self._change_signal(POLICY),
            anchors=self.store,
            accepted_loss=settings.policy_accept_loss,
            on_accepted=partial(record_accepted_loss, audit=self.audit, publish=self.bus.publish),
        )
        opened.callback(self.policy_registry.close)
        self.external_policy = self._open_external_policy(settings)
        self.service = KmsService(
            arena=self.arena,
            store=self.store,
            backends=self.backends,
            capabilities=self.capabilities,
            audit=self.audit,
            receipts=self.audit_parts.receipts,
            bus=self.bus,
            policy=self.policy_registry,
            usage=LoggedUsage(directory / "usage" / USAGE_FILE, directory / "audit"),
            recent_use_days=settings.destroy_recent_use_days,
            default_backend=settings.backend,
            import_directory=directory / "keystore" / "import",
            verify_only=settings.verify_only,
            bind_required=settings.cap_bind_required,
            external=self.external_policy,
        )
        self._intents = IntentLedger(directory / "audit")
        self._recover_intents()
        self._adopt_policy_defaults(settings)
        self.wsgi: Entry = create_wsgi(self.service, self.arena, served_documents())

    def _recovery(self, *, caps: int, policies: int, digest_epochs: int) -> Recovery:
        """The numbers: of the last change of each kind that is not to be put down to a later operation."""
        return Recovery(
            store=self.store,
            audit=self.audit,
            admin=AdminRecovery(
                found={
                    "cap": caps,
                    "policy": policies,
                    "audit.rotate": newest_key_set(self.settings.data_path / "audit"),
                    "audit.rotate-digest-key": digest_epochs,
                },
                is_revoked=lambda revoked: revoked in self.capability_registry.state.revoked,
                is_destroyed=self.digest_rotation.is_destroyed,
            ),
        )

    def _recover_intents(self) -> None:
        self._intents.read_on()
        recovery = self._recovery(
            caps=self.capability_registry.found,
            policies=self.policy_registry.found,
            digest_epochs=self.audit_parts.digest_epochs_found,
        )
        try:
            verdicts = recovery.recover(self._intents.open, self._intents.done)
        except AuditUnavailable as error:
            _log.warning("audit_intents_not_recovered", error=str(error), advice="the next start tries again")
            return
        # An older place in the log only makes the next start read more.
        with suppress(OSError):
            self._intents.settle()
        _tell_recovered(verdicts)

    def _adopt_policy_defaults(self, settings: Settings) -> None:
        defaults = DefaultsSet(
            VerifyMode(settings.pq_verify_mode),
            settings.pq_produce_hybrid,
            settings.pq_rollout_percent,
            int(time.time()),
        )
        try:
            adopt_defaults(self.policy_registry, defaults, audit=self.audit, publish=self.bus.publish)
        except AuditUnavailable:
            raise StartError(
                "pq_*: these settings differ from those of the last start, and the audit log cannot take the"
                " record of that; free space for it, or start with the old ones"
            ) from None

    def _open_external_policy(self, settings: Settings) -> ExternalPolicy | None:
        if not settings.policy_url:
            return None
        meter = ArenaMeter(self.arena)
        decisions = Decisions(
            connector(settings),
            limits(settings),
            generations=lambda: tuple(map(self.arena.generation, (CAPABILITY, POLICY, EXTERNAL_POLICY))),
            meter=meter,
        )
        fail_open = frozenset(map(OperationClass, settings.policy_fail_open))
        for name in sorted(fail_open & {OperationClass.SIGN, OperationClass.UNWRAP}):
            _log.warning(
                "external_policy_fails_open",
                operations=name.value,
                advice="who keeps the decision point from answering decides; see policy_fail_open",
            )
        return ExternalPolicy(decisions, fail_open=fail_open, count=meter.count)

    def _change_signal(self, generation: int) -> ChangeSignal:
        return ChangeSignal(
            load=partial(self.arena.generation, generation), bump=partial(self.arena.bump, generation)
        )

    def _counter(self, name: str) -> partial[None]:
        return partial(self.arena.count, COUNTER_INDEX[name])

    def after_fork(self, role: str) -> None:
        """First thing in a child; ``role`` is ``worker``, ``admin`` or ``audit-sinks``. Raises KmsError."""
        if role == "audit-sinks":
            self.bus.after_fork()
            self.audit.after_fork()
            self.custody.wipe()
            return
        for backend in self.backends.values():
            backend.after_fork()
        self.store.after_fork()
        self.capabilities.after_fork()
        self.policy_registry.after_fork()
        if self.external_policy is not None:
            self.external_policy.decisions.after_fork()
        self.bus.after_fork()
        self.audit.after_fork()
        if role == "admin":
            # A predecessor may have followed the log further than the arbiter has.
            self._intents = IntentLedger(self.settings.data_path / "audit")
            self.digest_rotation.resume()
        if role == "worker" and any(sink.required for sink in self.settings.audit_sinks):
            self.audit.require_sinks()
        if role == "worker" and self.settings.audit_sync != "all":
            self.wsgi.use_hot_path(
                HotPath(
                    arena=self.arena,
                    audit_log=self.audit.native,
                    digest_keys=self.audit_parts.digest_keys,
                    store=self.store,
                    access=self.service.access,
                    capabilities=self.capabilities,
                    policy=self.policy_registry,
                    verify_only=self.settings.verify_only,
                    external=self.external_policy,
                )
            )
        _log.debug("process_started", role=role)

    def missing(self) -> list[str]:
        """What keeps the service from being ready, in words; empty when nothing does."""
        missing = self.bus.missing()
        for backend in self.backends.values():
            missing += backend.missing()
        missing += self.audit_parts.missing()
        if not self.capability_registry.state.roots:
            missing.append("capability: there is no root key yet")
        return missing

    def key_counts(self) -> Mapping[tuple[str, str], int]:
        """Keys by (state, algorithm)."""
        self.store.refresh()
        return self.store.count()

    def destroy_due(self) -> None:
        """Destroys what is past its window."""
        self.service.destroy_due(int(time.time()))

    def disable_due(self) -> None:
        """Disables what has come to the end of its stages."""
        self.service.disable_due(int(time.time()))

    def anchor_audit(self) -> None:
        """Lets the key store remember how far the audit log has come."""
        self.audit_parts.remember(self.store)

    def audit_retention(self) -> Callable[[], None]:
        """What archiving and retention of the audit log do in one turn; for a thread of the admin process."""
        usage = self.settings.data_path / "usage" / USAGE_FILE
        return self.audit_parts.retention(partial(segment_needed_for_usage, usage))

    def usage_recorder(self) -> UsageRecorder:
        """Of the audit log; for the admin process, once, after the fork."""
        directory = self.settings.data_path
        return UsageRecorder(directory / "usage" / USAGE_FILE, directory / "audit")

    def external_probe(self) -> Probe | None:
        """Of the external policy's decision point, if there is one; for the admin process, after the fork."""
        if self.external_policy is None:
            return None
        closed = [name for name in OperationClass if name not in self.external_policy.fail_open]
        return Probe(
            self.external_policy.decisions.ask_anew,
            failures=self.settings.policy_breaker_failures,
            closed=closed,
        )

    def rotate_due(self) -> None:
        """Rotates what its policy says is old enough."""
        self.service.rotate_due(int(time.time()))

    def prepare_hybrids(self) -> None:
        """Makes some of the hybrid versions that the rollout waits for."""
        if not self.settings.verify_only:
            self.service.prepare_hybrids(PREPARED_AT_ONCE)

    def follow_intents(self, running: Callable[[], Collection[int]]) -> None:
        """Ends the intents of processes that are not ``running``, and moves on the place in the audit log
        from which the next start looks for such. No admin operation may run meanwhile."""
        with suppress(OSError):
            self._intents.follow()
        try:
            verdicts = end_orphans(
                self._intents,
                store=self.store,
                running=running,
                recovery=lambda: self._recovery(
                    caps=self.capability_registry.settled(),
                    policies=self.policy_registry.settled(),
                    digest_epochs=len(self.digest_rotation.epochs()),
                ),
            )
        except (KmsError, OSError) as error:
            _log.warning("audit_intents_not_recovered", error=str(error), advice="it is tried again")
            return
        _tell_recovered(verdicts)

    def publish(self, event: str, fields: Mapping[str, str | int]) -> None:
        """An event of the server itself."""
        self.bus.publish(event, fields)

    def close(self) -> None:
        """In the arbiter, last: gives the data directory back and wipes the root key."""
        self._opened.close()


def create_app(settings: Settings) -> Application:
    """Composes the service. Raises :class:`ronkms.errors.StartError`."""
    return Application(settings)


def _tell_recovered(verdicts: Counter[Verdict]) -> None:
    if verdicts:
        _log.warning("audit_intents_recovered", **{name.replace(" ", "_"): n for name, n in verdicts.items()})


def _make_arena(settings: Settings) -> Arena:
    try:
        return Arena(
            cache_entries=settings.verify_cache_max,
            cache_ttl_ms=settings.verify_cache_ttl_ms,
            inflight_sign=settings.max_inflight_sign,
            inflight_verify=settings.max_inflight_verify,
            tenant_share_min=settings.tenant_share_min,
            slots=settings.worker_count + 2 + SPARE_SLOTS,
            tenants=TENANTS,
            ops=list(OPS),
            algs=list(ALGS),
            outcomes=list(OUTCOMES),
            counters=list(COUNTERS),
            gauges=list(GAUGES),
            generations=list(GENERATIONS),
        )
    except ArenaError as error:
        raise StartError(f"{error}; allow more memory and larger files, or lower verify_cache_max") from None
