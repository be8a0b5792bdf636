"""The state machine of keys and versions.

``enabled`` and ``disabled`` turn into each other; both go to ``destroy_scheduled``; from there back to
``disabled`` (restore), or on to ``destroyed`` when the window has passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ronkms.domain.key import Key, KeyState
from ronkms.errors import Conflict

TRANSITIONS: Final[Mapping[KeyState, frozenset[KeyState]]] = {
    KeyState.ENABLED: frozenset({KeyState.DISABLED, KeyState.DESTROY_SCHEDULED}),
    KeyState.DISABLED: frozenset({KeyState.ENABLED, KeyState.DESTROY_SCHEDULED}),
    KeyState.DESTROY_SCHEDULED: frozenset({KeyState.DISABLED, KeyState.DESTROYED}),
    KeyState.DESTROYED: frozenset(),
}


def changes_key(key: Key, new: KeyState) -> bool:
    """As :func:`check_transition` of the key itself; enabling one that is disabled in stages is a change."""
    return check_transition(f"key {key.key_id}", key.state, new) or key.staged is not None


def check_transition(name: str, old: KeyState, new: KeyState) -> bool:
    """True if ``new`` is a change, False if it holds already (idempotent). Raises Conflict."""
    if new is old and old is not KeyState.DESTROYED:
        return False
    if new not in TRANSITIONS[old]:
        raise Conflict(f"{name} is {old} and cannot become {new}")
    return True
