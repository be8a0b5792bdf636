"""The chore that destroys what is due. Runs in one process, never on behalf of a caller."""

from __future__ import annotations

from functools import partial
from typing import Final

from ronkms.domain.key import KeyState
from ronkms.service.automatic_states import AutomaticStates
from ronkms.store.protocol import KeyStore

PRINCIPAL: Final = "system:destruction"


class Destruction:
    """Removes the material of keys and versions whose window has passed; their metadata stays."""

    def __init__(self, *, store: KeyStore, states: AutomaticStates) -> None:
        self._store = store
        self._states = states

    def destroy_due(self, now: int) -> int:
        """Destroys what was due at ``now`` (Unix seconds); returns how many keys and versions.

        One that cannot be destroyed is recorded as an error and tried again the next time. Raises
        AuditUnavailable: nothing is destroyed then."""
        self._store.refresh()
        done = 0
        for tenant, key_id, version in self._store.due_for_destruction(now):
            # A restore since the list was made wins.
            destroy = partial(self._store.destroy, tenant, key_id, version=version, due_by=now)
            done += self._states.change(
                tenant, key_id, version, KeyState.DESTROYED, principal=PRINCIPAL, change=destroy
            )
        return done
