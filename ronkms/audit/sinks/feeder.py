"""Feeds all sinks, watches them, and gives the lease that operations need (docs/formats/audit-sinks.md).

The watching loop does no I/O, so that neither a stuck sink nor a slow disk delays the lease; reports go
through a thread of their own.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import Final

import structlog

from ronkms.audit.sinks.board import SinkBoard, State
from ronkms.audit.sinks.condition import Condition, ConditionWatch
from ronkms.audit.sinks.delivery import Delivery, DurableLog

TURN_SECONDS: Final = 0.05
LEASE_MS: Final = 500
DRAIN_SECONDS: Final = 1.5
SETTLED_SECONDS: Final = 1.0
"""A sink that failed is reported up again after so long without a failure: one that fails now and then
makes no flood of events."""

_log = structlog.get_logger("ronkms.audit_sinks")

Report = tuple[str, bool, str]
"""(name of the sink, whether it is up now, why not)."""


class SinkFeeder:
    """``grant_lease`` is that of the log; ``publish`` puts an event on the bus."""

    def __init__(
        self,
        deliveries: Sequence[Delivery],
        board: SinkBoard,
        *,
        log: DurableLog,
        grant_lease: Callable[[int], object],
        publish: Callable[[str, Mapping[str, str | int]], object],
    ) -> None:
        """``deliveries`` in the order of the board's names."""
        self._log = log
        self._board = board
        self._grant_lease = grant_lease
        self._publish = publish
        now, head = time.monotonic(), log.durable
        self._fed = [
            _Fed(delivery, ConditionWatch(delivery.sink, now, delivery.record, head))
            for delivery in deliveries
        ]
        self._reports: SimpleQueue[Report | None] = SimpleQueue()
        self._reporter = threading.Thread(target=self._report_all, name="audit-sink-reports", daemon=True)

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``; then what is in the log is delivered, for 1.5 s at most."""
        self._reporter.start()
        for fed in self._fed:
            fed.delivery.start()
        while not stop.is_set():
            self.turn()
            stop.wait(TURN_SECONDS)
        self._drain()

    def turn(self) -> None:
        """Looks at each sink once."""
        now, head = time.monotonic(), self._log.durable
        renewed, ended = True, False
        for fed, row in zip(self._fed, self._board.rows, strict=True):
            condition = fed.assess(now, head)
            row.show(
                condition.state,
                holding=condition.holding,
                record=fed.delivery.record,
                reason=condition.reason,
            )
            renewed = renewed and not condition.holding
            # After a restart of this process the lease of the one before lasts until the sinks are reached.
            ended = ended or (condition.holding and condition.state != State.STARTING)
            for up, reason in fed.changes(now, condition):
                if not up and reason != fed.delivery.last_fault:
                    row.failed(reason)
                self._reports.put((fed.delivery.sink.name, up, reason))
        if renewed or ended:
            self._grant_lease(LEASE_MS if renewed else 0)
        self._board.beat(os.getpid())

    def _drain(self) -> None:
        for fed in self._fed:
            fed.delivery.stop()
        deadline = time.monotonic() + DRAIN_SECONDS
        for fed in self._fed:
            if not fed.delivery.wait(max(deadline - time.monotonic(), 0.0)):
                _log.warning("audit_sink_not_drained", sink=fed.delivery.sink.name)
        self._reports.put(None)
        self._reporter.join(max(deadline - time.monotonic(), 0.1))

    def _report_all(self) -> None:
        while (report := self._reports.get()) is not None:
            name, up, reason = report
            if up:
                _log.info("audit_sink_up", sink=name)
                self._publish("BackendUp", {"backend": f"audit:{name}"})
            else:
                _log.error("audit_sink_down", sink=name, error=reason)
                self._publish("BackendDown", {"backend": f"audit:{name}", "error": reason})


class _Fed:
    """A delivery, and what was reported of it."""

    def __init__(self, delivery: Delivery, watch: ConditionWatch) -> None:
        self.delivery = delivery
        self._watch = watch
        self._faults = 0
        self._reported_down = False
        self._well_since = 0.0

    def assess(self, now: float, head: int) -> Condition:
        delivery = self.delivery
        return self._watch.assess(
            now, record=delivery.record, head=head, fault=delivery.fault, reached=delivery.reached
        )

    def changes(self, now: float, condition: Condition) -> list[tuple[bool, str]]:
        """What is to be reported: (up, reason); also a failure that came and went between two looks."""
        failed = self._faults != self.delivery.faults
        self._faults = self.delivery.faults
        if condition.state == State.DOWN or failed:
            self._well_since = now
            if self._reported_down:
                return []
            self._reported_down = True
            return [(False, condition.reason or self.delivery.last_fault)]
        if self._reported_down and now - self._well_since >= SETTLED_SECONDS:
            self._reported_down = False
            return [(True, "")]
        return []
