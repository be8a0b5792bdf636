"""Changes of state that the service makes on its own account, when their time has come."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ronkms.audit.protocol import AuditTrail
from ronkms.domain.key import KeyState
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import KmsError, RequestError
from ronkms.service.journaling import Journaling


class AutomaticStates:
    """Each is in the audit log before and after it is made, as a change by ``principal``."""

    def __init__(self, *, audit: AuditTrail, journaling: Journaling) -> None:
        self._audit = audit
        self._journaling = journaling

    def change(
        self,
        tenant: str,
        key_id: str,
        version: int | None,
        state: KeyState,
        *,
        principal: str,
        change: Callable[[], object],
    ) -> bool:
        """Runs ``change``, which makes ``state`` the state of the key or version. False: it could not, and
        that is in the audit log. Raises AuditUnavailable."""
        record = partial(
            self._audit.record,
            op=Operation.STATE,
            tenant=tenant,
            token_id=principal,
            corr_id=principal,
            key_id=key_id,
            key_version=version or 0,
            detail=f"state={state}",
        )
        record(outcome=Outcome.OK, phase="intent")
        try:
            change()
        except KmsError as error:
            outcome = Outcome.REJECTED if isinstance(error, RequestError) else Outcome.ERROR
            record(outcome=outcome, code=error.code, phase="outcome")
            return False
        record(outcome=Outcome.OK, phase="outcome")
        self._journaling.state_changed(tenant, key_id, state.value, version, principal)
        return True
