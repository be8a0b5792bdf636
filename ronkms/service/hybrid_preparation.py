"""Makes the hybrid versions that the rollout wants: of a new key at once, of the others as a chore.

Until a key has its hybrid version the classical one signs, so nothing fails meanwhile. A key that ever had a
hybrid version is left to its owner: one that was disabled or destroyed is not made again. So is an imported
key, which may sign elsewhere too.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from ronkms_native import Arena

from ronkms.domain.algorithm import Usage
from ronkms.domain.key import Key, KeyState, Origin
from ronkms.domain.measure import KEYRING, POLICY
from ronkms.errors import AuditUnavailable, Conflict, KmsError
from ronkms.policy.decision import Policy
from ronkms.policy.rollout import HYBRID_OF, lacks_hybrid
from ronkms.service.automatic_versions import AutomaticVersions
from ronkms.service.key_access import KeyAccess
from ronkms.store.protocol import KeyStore

PRINCIPAL: Final = "system:rollout"


class HybridPreparation:
    """The chore runs in one process. It looks at all keys when something changed, and at none otherwise."""

    def __init__(
        self,
        *,
        arena: Arena,
        store: KeyStore,
        access: KeyAccess,
        versions: AutomaticVersions,
        policy: Policy,
    ) -> None:
        self._arena = arena
        self._store = store
        self._access = access
        self._versions = versions
        self._policy = policy
        self._waiting: list[tuple[str, str]] = []
        self._looked_at: tuple[int, int] | None = None

    def prepare(self, limit: int) -> int:
        """Tries to make up to ``limit`` versions; returns how many it made. One that fails is recorded, and
        tried again when keys or policy have changed. Raises AuditUnavailable."""
        self._look()
        tried = made = 0
        while self._waiting and tried < limit:
            key = self._store.get(*self._waiting.pop())
            if self._wants(key):
                tried += 1
                made += self._add(key) is not key
        return made

    def prepare_new(self, key: Key) -> Key:
        """``key``, just made, with its hybrid version if the rollout selects it: so its first signature is
        hybrid. The key as it is if that fails: then the chore tries again."""
        if self._wants(key):
            with suppress(AuditUnavailable):
                return self._add(key)
        return key

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
        if key.alg not in HYBRID_OF or not self._access.has_backend(key.backend):
            return False
        if key.versions[len(key.versions)].origin is Origin.IMPORTED:
            return False
        try:
            return lacks_hybrid(key, self._policy.decide(key.tenant, key.key_id))
        except KmsError:  # no version is enabled
            return False

    def _require_wanted(self, key: Key) -> None:
        if not self._wants(key):
            raise Conflict(f"key {key.key_id} needs no hybrid version any more")

    def _add(self, key: Key) -> Key:
        """The key itself if no version could be made."""
        alg = HYBRID_OF[key.newest_enabled().alg]
        try:
            return self._versions.add(
                key, alg, principal=PRINCIPAL, detail="rollout", condition=self._require_wanted
            )
        except AuditUnavailable:
            raise
        except KmsError:
            return key
