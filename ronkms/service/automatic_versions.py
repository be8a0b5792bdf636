"""Key versions that the service makes on its own account: by a key's rotation period, or by the rollout."""

from __future__ import annotations

from functools import partial

from ronkms.audit.protocol import AuditTrail
from ronkms.domain.key import Key, Origin
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import KmsError, RequestError
from ronkms.service.journaling import Journaling
from ronkms.service.key_access import KeyAccess
from ronkms.store.protocol import Condition, KeyStore


class AutomaticVersions:
    """Each is in the audit log before and after it is made, as a rotation by ``principal``."""

    def __init__(
        self, *, store: KeyStore, access: KeyAccess, audit: AuditTrail, journaling: Journaling
    ) -> None:
        self._store = store
        self._access = access
        self._audit = audit
        self._journaling = journaling

    def add(self, key: Key, alg: str, *, principal: str, detail: str, condition: Condition) -> Key:
        """The key with its new version, told on the bus.

        ``condition`` is decided under the store's lock: someone may have changed the key since ``key`` was
        read. Raises AuditUnavailable, BackendUnavailable, and what ``condition`` and the store raise; all but
        the first are in the audit log then."""
        record = partial(
            self._audit.record,
            op=Operation.ROTATE,
            tenant=key.tenant,
            token_id=principal,
            corr_id=principal,
            key_id=key.key_id,
            alg=alg,
            detail=detail,
        )
        record(outcome=Outcome.OK, key_version=len(key.versions) + 1, phase="intent")
        try:
            changed = self._store.add_version(
                key.tenant,
                key.key_id,
                alg=alg,
                origin=Origin.GENERATED,
                seal=partial(self._access.backend(key.backend).generate, alg),
                condition=condition,
            )
        except KmsError as error:
            outcome = Outcome.REJECTED if isinstance(error, RequestError) else Outcome.ERROR
            record(outcome=outcome, code=error.code, phase="outcome")
            raise
        record(outcome=Outcome.OK, key_version=len(changed.versions), phase="outcome")
        self._journaling.rotated(changed, principal)
        return changed
