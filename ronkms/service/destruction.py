"""The chore that destroys what is due. Runs in one process, never on behalf of a caller."""

from __future__ import annotations

from typing import Final

from ronkms.audit.protocol import AuditTrail
from ronkms.domain.key import KeyState
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import KmsError
from ronkms.service.journaling import Journaling
from ronkms.store.protocol import KeyStore

PRINCIPAL: Final = "system:destruction"


class Destruction:
    """Removes the material of keys and versions whose window has passed; their metadata stays."""

    def __init__(self, *, store: KeyStore, audit: AuditTrail, journaling: Journaling) -> None:
        self._store = store
        self._audit = audit
        self._journaling = journaling

    def destroy_due(self, now: int) -> int:
        """Destroys what was due at ``now`` (Unix seconds); returns how many keys and versions.

        One that cannot be destroyed is recorded as an error and tried again the next time. Raises
        AuditUnavailable: nothing is destroyed then."""
        self._store.refresh()
        done = 0
        for tenant, key_id, version in self._store.due_for_destruction(now):
            done += self._destroy(tenant, key_id, version, now)
        return done

    def _destroy(self, tenant: str, key_id: str, version: int | None, now: int) -> bool:
        self._record(tenant, key_id, version, "intent", Outcome.OK, "")
        try:
            # A restore since the list was made wins.
            self._store.destroy(tenant, key_id, version=version, due_by=now)
        except KmsError as error:
            self._record(tenant, key_id, version, "outcome", Outcome.ERROR, error.code)
            return False
        self._record(tenant, key_id, version, "outcome", Outcome.OK, "")
        self._journaling.state_changed(tenant, key_id, KeyState.DESTROYED.value, version, PRINCIPAL)
        return True

    def _record(
        self, tenant: str, key_id: str, version: int | None, phase: str, outcome: Outcome, code: str
    ) -> None:
        self._audit.record(
            op=Operation.STATE,
            outcome=outcome,
            tenant=tenant,
            token_id=PRINCIPAL,
            corr_id=PRINCIPAL,
            key_id=key_id,
            key_version=version or 0,
            code=code,
            detail="state=destroyed",
            phase=phase,
        )
