"""Whether the decision point answers, found out by asking: for readiness, also of a server that is idle."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from ronkms.errors import PolicyUnavailable
from ronkms.policy.external.answer import Answer
from ronkms.policy.external.operation_class import OperationClass
from ronkms.policy.external.question import PROBE, Question, probe

_log = structlog.get_logger()


class Probe:
    """``turn`` waits for an answer; ``missing`` does not. One thread takes the turns."""

    def __init__(
        self,
        ask: Callable[[Question, str], Answer],
        *,
        failures: int,
        closed: Sequence[OperationClass],
    ) -> None:
        """Not answering means ``failures`` in a row. ``closed``: the classes that fail closed."""
        self._ask = ask
        self._failures = failures
        self._closed = closed
        self._failed = 0
        self._answered = False
        self._fault = "not asked yet"

    @property
    def up(self) -> bool:
        """Whether it answers: any decision will do."""
        return self._answered

    @property
    def fault(self) -> str:
        """Of the last turn; empty if it was answered."""
        return self._fault

    def turn(self) -> None:
        """Asks once."""
        try:
            self._ask(probe(), PROBE)
        except PolicyUnavailable as error:
            self._failed += 1
            self._fault = f"{error.fault}: {error.reason}"
            if self._answered and self._failed >= self._failures:
                self._answered = False
                _log.warning("external_policy_down", fault=error.fault, error=error.reason)
        else:
            if not self._answered:
                _log.info("external_policy_up")
            self._answered, self._failed, self._fault = True, 0, ""

    def missing(self) -> list[str]:
        """For readiness: empty if it answers, or if nothing is refused without it."""
        if self._answered or not self._closed:
            return []
        return [f"external policy: {self._fault}; refused meanwhile: {', '.join(self._closed)}"]
