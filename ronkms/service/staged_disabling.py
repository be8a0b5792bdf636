"""The chore that ends staged disabling. Runs in one process, never on behalf of a caller."""

from __future__ import annotations

from functools import partial
from typing import Final

from ronkms.domain.key import Key, KeyState
from ronkms.errors import Conflict
from ronkms.service.automatic_states import AutomaticStates
from ronkms.store.protocol import KeyStore

PRINCIPAL: Final = "system:disabling"


class StagedDisabling:
    """Keys that have come to refuse every request become ``disabled``."""

    def __init__(self, *, store: KeyStore, states: AutomaticStates) -> None:
        self._store = store
        self._states = states

    def disable_due(self, now: int) -> int:
        """Disables what refuses everything at ``now`` (Unix seconds); returns how many keys.

        One that cannot be disabled is recorded as an error and tried again the next time; it refuses
        everything all the same. Raises AuditUnavailable: no state is changed then."""
        self._store.refresh()
        done = 0
        for key in self._store.due_for_disabling(now):
            disable = partial(
                self._store.set_state,
                key.tenant,
                key.key_id,
                KeyState.DISABLED,
                condition=partial(_require_due, now),
            )
            done += self._states.change(
                key.tenant, key.key_id, None, KeyState.DISABLED, principal=PRINCIPAL, change=disable
            )
        return done


def _require_due(now: int, key: Key) -> None:
    if key.staged is None or not key.staged.complete(now):
        raise Conflict(f"key {key.key_id} is not being disabled any more")
