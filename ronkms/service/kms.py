"""The operations of the service, composed from their parts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ronkms_native import Arena

from ronkms.audit.protocol import AuditTrail
from ronkms.audit.receipt import Receipts
from ronkms.backends.protocol import Backend
from ronkms.bus.protocol import Bus
from ronkms.capability.protocol import CapabilityVerifier
from ronkms.domain.measure import COUNTER_INDEX, GAUGE_INDEX
from ronkms.policy.decision import Policy
from ronkms.service.admission import Gate
from ronkms.service.automatic_states import AutomaticStates
from ronkms.service.automatic_versions import AutomaticVersions
from ronkms.service.batches import Batches
from ronkms.service.destroy_protection import DestroyProtection
from ronkms.service.destruction import Destruction
from ronkms.service.external_policy import ExternalPolicy
from ronkms.service.hybrid_preparation import HybridPreparation
from ronkms.service.import_tickets import ImportTickets
from ronkms.service.importing import Importing
from ronkms.service.journaling import Journaling
from ronkms.service.key_access import KeyAccess
from ronkms.service.lifecycle import Lifecycle
from ronkms.service.operation_budget import OperationBudget
from ronkms.service.plain_batches import PlainBatches
from ronkms.service.reading import Reading
from ronkms.service.rotation import Rotation
from ronkms.service.sign import Signing
from ronkms.service.staged_disabling import StagedDisabling
from ronkms.service.verify import Verifying
from ronkms.service.wrapping import Wrapping
from ronkms.store.protocol import KeyStore
from ronkms.usage.protocol import UsageReader


class KmsService:
    """Every call goes through ``gate.perform``; the other parts are what it may run.

    Made before the fork, it holds no descriptor, thread or lock of its own.
    """

    def __init__(
        self,
        *,
        arena: Arena,
        store: KeyStore,
        backends: Mapping[str, Backend],
        capabilities: CapabilityVerifier,
        audit: AuditTrail,
        receipts: Receipts,
        bus: Bus,
        policy: Policy,
        usage: UsageReader,
        recent_use_days: int,
        default_backend: str,
        import_directory: Path,
        verify_only: bool = False,
        bind_required: bool = False,
        external: ExternalPolicy | None = None,
    ) -> None:
        """``default_backend``: of new keys. ``recent_use_days``: a key used within them is destroyed only
        with force. ``import_directory``: for one-time import keys, made when needed, on the disk of the key
        store. ``bind_required``: capabilities must be bound to client certificates."""
        self.gate = Gate(
            arena=arena,
            capabilities=capabilities,
            audit=audit,
            verify_only=verify_only,
            bind_required=bind_required,
            external=external,
        )
        self.access = access = KeyAccess(
            store=store,
            backends=backends,
            capabilities=capabilities,
            on_staged=partial(arena.count, COUNTER_INDEX["kms_staged_refusals_total"]),
        )
        self.receipts = receipts
        journaling = Journaling(audit=audit, bus=bus)
        versions = AutomaticVersions(store=store, access=access, audit=audit, journaling=journaling)
        self._preparation = HybridPreparation(
            arena=arena, store=store, access=access, versions=versions, policy=policy
        )
        self._tickets = ImportTickets(import_directory)
        budget = OperationBudget(store=store, journaling=journaling)
        self.signing = Signing(gate=self.gate, access=access, policy=policy, budget=budget)
        self.verifying = Verifying(gate=self.gate, access=access, policy=policy, arena=arena)
        self.batches = Batches(gate=self.gate, signing=self.signing, verifying=self.verifying)
        self.plain_batches = PlainBatches(gate=self.gate, signing=self.signing, verifying=self.verifying)
        self.wrapping = Wrapping(gate=self.gate, access=access, budget=budget)
        self.reading = Reading(access=access, store=store, usage=usage)
        self.lifecycle = Lifecycle(
            gate=self.gate,
            access=access,
            store=store,
            journaling=journaling,
            policy=policy,
            hybrids=self._preparation,
            protection=DestroyProtection(usage=usage, days=recent_use_days),
            default_backend=default_backend,
        )
        self.importing = Importing(
            gate=self.gate,
            access=access,
            store=store,
            journaling=journaling,
            tickets=self._tickets,
            default_backend=default_backend,
        )
        states = AutomaticStates(audit=audit, journaling=journaling)
        self._destruction = Destruction(store=store, states=states)
        self._staged_disabling = StagedDisabling(store=store, states=states)
        self._verify_only = verify_only
        self._rotation = Rotation(
            store=store,
            versions=versions,
            policy=policy,
            journaling=journaling,
            on_failed=partial(arena.count, COUNTER_INDEX["kms_rotation_failed_total"]),
            on_failing=partial(arena.set_gauge, GAUGE_INDEX["kms_rotation_failing"]),
        )

    def rotate_due(self, now: int) -> int:
        """The chore of one process: rotates what is due at ``now`` (Unix seconds) by its policy, unless the
        server only verifies. Returns how many keys. Raises AuditUnavailable."""
        return 0 if self._verify_only else self._rotation.rotate_due(now)

    def destroy_due(self, now: int) -> int:
        """The chore of one process: destroys what is due at ``now`` (Unix seconds), drops old import
        params. Returns how many keys and versions were destroyed. Raises AuditUnavailable."""
        self._tickets.drop_expired(now)
        return self._destruction.destroy_due(now)

    def disable_due(self, now: int) -> int:
        """The chore of one process: disables the keys whose staged disabling ends by ``now`` (Unix seconds).
        Returns how many. Raises AuditUnavailable."""
        return self._staged_disabling.disable_due(now)

    def prepare_hybrids(self, limit: int) -> int:
        """The chore of one process: makes up to ``limit`` hybrid versions that the rollout waits for.
        Returns how many it made. Raises AuditUnavailable."""
        return self._preparation.prepare(limit)
