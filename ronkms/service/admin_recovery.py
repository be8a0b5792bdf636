"""What became of an admin operation that was cut off (docs/formats/audit.md, "Recovery of intents").

Admin operations run one at a time. Those that change something number their changes: entries of a sealed
journal, sets of log keys, epochs of digest keys. An intent names the number that was next, so the intent that
follows, or the number that was reached before the start, shows whether it was used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from ronkms.audit.intents import Phase
from ronkms.capability.state import revocation_id
from ronkms.domain.operation import Operation
from ronkms.service.recovery_verdict import Verdict

_NUMBERED: Final = re.compile(
    r"(?:(cap|policy)\.\S+|(audit\.rotate|audit\.rotate-digest-key)) entry=([0-9]+)(?: |$)"
)
_IN_FORCE: Final = re.compile(r"(cap\.revoke|audit\.destroy-digest-key) (?:entry=[0-9]+ )?(\{.*\})")


class _Revocation(msgspec.Struct):
    id: str


class _Destruction(msgspec.Struct):
    epoch: int


class AdminRecovery:
    """``found``: the last number that was used, by kind: ``cap``, ``policy``, ``audit.rotate`` and
    ``audit.rotate-digest-key``. ``is_revoked``: a block's id; ``is_destroyed``: a digest key's epoch."""

    def __init__(
        self,
        *,
        found: Mapping[str, int],
        is_revoked: Callable[[str], bool],
        is_destroyed: Callable[[int], bool],
    ) -> None:
        self._found = found
        self._is_revoked = is_revoked
        self._is_destroyed = is_destroyed

    def judge(self, intent: Phase, intents: Sequence[Phase], done: Sequence[Phase]) -> Verdict:
        """``intents`` and ``done`` as in ``Recovery.recover``."""
        if intent.detail.startswith(("cap.mint ", "audit.sinks.test ")):
            # The answer leaves after the outcome, and nothing else keeps the token, or what was found.
            return Verdict.NOT_COMMITTED
        held = self._in_force(intent.detail)
        if held:
            return Verdict.COMMITTED
        numbered = _number(intent)
        if numbered is None:
            return Verdict.UNKNOWN if held is None else Verdict.NOT_COMMITTED
        kind, number = numbered
        later = [
            (other.seq, after[1])
            for other in (*intents, *done)
            if other.seq > intent.seq and (after := _number(other)) is not None and after[0] == kind
        ]
        used = min(later)[1] - 1 if later else self._found[kind]
        return Verdict.COMMITTED if used >= number else Verdict.NOT_COMMITTED

    def _in_force(self, detail: str) -> bool | None:
        """Whether what was asked holds, whoever did it: asked again it changes nothing. None: unknown."""
        found = _IN_FORCE.fullmatch(detail)
        if found is None:
            return None
        try:
            if found[1] == "cap.revoke":
                return self._is_revoked(revocation_id(msgspec.json.decode(found[2], type=_Revocation).id))
            return self._is_destroyed(msgspec.json.decode(found[2], type=_Destruction).epoch)
        except msgspec.MsgspecError:
            return None


def _number(phase: Phase) -> tuple[str, int] | None:
    """(kind, number that was next)."""
    found = _NUMBERED.match(phase.detail) if phase.op == Operation.ADMIN else None
    return None if found is None else (found[1] or found[2], int(found[3]))
