"""The chore that makes the hybrid versions that the rollout waits for. Runs in one process.

Until a key has its hybrid version the classical one signs, so nothing fails meanwhile. A key that ever had a
hybrid version is left to its owner: one that was disabled or destroyed is not made again. So is an imported
key, which may sign elsewhere too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from ronkms_native import Arena

from ronkms.audit.protocol import AuditTrail
from ronkms.backends.protocol import Backend
from ronkms.domain.algorithm import Usage
from ronkms.domain.key import Key, KeyState, Origin
from ronkms.domain.measure import KEYRING, POLICY
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import KmsError
from ronkms.policy.decision import Policy
from ronkms.policy.rollout import HYBRID_OF, lacks_hybrid
from ronkms.service.journaling import Journaling
from ronkms.store.protocol import KeyStore

PRINCIPAL: Final = "system:rollout"


class HybridPreparation:
    """Looks at all keys when something changed, and at none otherwise."""

    def __init__(
        self,
        *,
        arena: Arena,
        store: KeyStore,
        backends: Mapping[str, Backend],
        audit: AuditTrail,
        journaling: Journaling,
        policy: Policy,
    ) -> None:
        self._arena = arena
        self._store = store
        self._backends = backends
        self._audit = audit
        self._journaling = journaling
        self._policy = policy
        self._waiting: list[tuple[str, str]] = []
        self._looked_at: tuple[int, int] | None = None

    def prepare(self, limit: int) -> int:
        """Makes up to ``limit`` versions; returns how many. One that fails is recorded, and tried again when
        keys or policy have changed. Raises AuditUnavailable."""
        self._look()
        made = 0
        while self._waiting and made < limit:
            tenant, key_id = self._waiting.pop()
            key = self._store.get(tenant, key_id)
            if self._wants(key):
                self._add(key, HYBRID_OF[key.newest_enabled().alg])
                made += 1
        return made

    def _look(self) -> None:
        now = self._arena.generation(KEYRING), self._arena.generation(POLICY)
        self._store.refresh()
        if self._waiting or now == self._looked_at:
            return
        self._looked_at = now
        self._waiting = [(key.tenant, key.key_id) for key in self._store.every_key() if self._wants(key)]

    def _wants(self, key: Key) -> bool:
        if key.usage is not Usage.SIGN or key.state is not KeyState.ENABLED or key.damaged is not None:
            return False
        if key.alg not in HYBRID_OF or key.backend not in self._backends:
            return False
        if key.versions[len(key.versions)].origin is Origin.IMPORTED:
            return False
        try:
            return lacks_hybrid(key, self._policy.decide(key.tenant, key.key_id))
        except KmsError:  # no version is enabled
            return False

    def _add(self, key: Key, alg: str) -> None:
        self._record(key, alg, "intent", Outcome.OK, version=len(key.versions) + 1)
        try:
            changed = self._store.add_version(
                key.tenant,
                key.key_id,
                alg=alg,
                origin=Origin.GENERATED,
                seal=partial(self._backends[key.backend].generate, alg),
            )
        except KmsError as error:
            self._record(key, alg, "outcome", Outcome.ERROR, error.code)
            return
        number = len(changed.versions)
        self._record(key, alg, "outcome", Outcome.OK, version=number)
        self._journaling.rotated(changed, PRINCIPAL)

    def _record(
        self, key: Key, alg: str, phase: str, outcome: Outcome, code: str = "", version: int = 0
    ) -> None:
        self._audit.record(
            op=Operation.ROTATE,
            outcome=outcome,
            tenant=key.tenant,
            token_id=PRINCIPAL,
            corr_id=PRINCIPAL,
            key_id=key.key_id,
            key_version=version,
            alg=alg,
            code=code,
            detail="rollout",
            phase=phase,
        )
