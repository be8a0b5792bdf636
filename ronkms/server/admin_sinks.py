"""The operations of the admin socket on the audit sinks."""

from __future__ import annotations

from typing import Protocol

from ronkms.audit.sinks.board import SinkStatus
from ronkms.config.settings import Settings
from ronkms.errors import NotFound
from ronkms.server import admin_messages as messages
from ronkms.server.admin_audit import AuditTrailWithHead


class SinkStates(Protocol):
    """``ronkms.audit.sinks.board.SinkBoard``."""

    @property
    def feeder(self) -> int: ...
    def read(self) -> list[SinkStatus]: ...


class SinkContext(Protocol):
    """What is needed of ``ronkms.app.Application``."""

    @property
    def settings(self) -> Settings: ...
    @property
    def audit(self) -> AuditTrailWithHead: ...
    @property
    def sink_board(self) -> SinkStates: ...


class SinkOperations:
    """Registered by ``admin_operations``."""

    def __init__(self, context: SinkContext) -> None:
        self._context = context

    def show(self, _: messages.NoArguments) -> messages.AuditSinks:
        """How the sinks stand."""
        sinks, board = self._context.settings.audit_sinks, self._context.sink_board
        records = self._context.audit.head[0]
        shown = [
            messages.AuditSinkState(
                name=status.name,
                target=sink.target.partition("?")[0],
                policy=sink.policy,
                format=sink.format,
                state=status.state.name.lower(),
                holding=status.holding,
                reason=status.reason,
                record=status.record,
                lag=max(records - status.record, 0),
                since=status.since,
                delivered=status.delivered,
                dropped=status.dropped,
                cut=status.cut,
                errors=status.errors,
                last_error=status.error,
            )
            for sink, status in zip(sinks, board.read(), strict=True)
        ]
        return messages.AuditSinks(board.feeder, records, shown)

    def test(self, arguments: messages.SinkArguments) -> messages.SinkTest:
        """The audit record of this operation is the test. Raises NotFound: no such sink."""
        names = [sink.name for sink in self._context.settings.audit_sinks]
        if arguments.name not in names:
            raise NotFound(
                f"there is no audit sink {arguments.name}; this server has {', '.join(names) or 'none'}"
            )
        return messages.SinkTest(self._context.audit.head[0] - 1)
