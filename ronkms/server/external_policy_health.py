"""How the external policy stands: what the workers entered on the board, and what the probe found."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from ronkms.policy.external.breaker import BreakerState
from ronkms.policy.external.decision_point import Fault
from ronkms.policy.external.probe import Probe
from ronkms.server.board import ProcessBoard

_FAULTS: Final = {fault.number: fault for fault in Fault}


class WorkerView(NamedTuple):
    """One worker's. ``fault``: the last, None if there was none; ``fault_at``: Unix seconds."""

    row: int
    breaker: BreakerState
    fault: Fault | None
    fault_at: int


class ExternalPolicyHealth:
    """For the admin process."""

    def __init__(self, probe: Probe, board: ProcessBoard) -> None:
        self.probe = probe
        self._board = board

    def workers(self) -> list[WorkerView]:
        """Those that serve, in order."""
        return [
            WorkerView(row, BreakerState(breaker), _FAULTS.get(fault), at)
            for row, (breaker, fault, at) in sorted(self._board.external_policy().items())
        ]

    def up(self) -> bool:
        """Whether the decision point answers."""
        return self.probe.up

    def breakers(self) -> dict[str, int]:
        """Workers by the state of their breaker; every state is there."""
        counted = Counter(worker.breaker for worker in self.workers())
        return {state.name.lower(): counted[state] for state in BreakerState}
