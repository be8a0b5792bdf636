"""Puts the sinks of the settings together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ronkms.audit.follower import first_record
from ronkms.audit.sinks.board import SinkBoard, SinkRow
from ronkms.audit.sinks.client_tls import context_of
from ronkms.audit.sinks.delivery import Delivery, DurableLog
from ronkms.audit.sinks.encoding import encoder
from ronkms.audit.sinks.file_transport import FileTransport
from ronkms.audit.sinks.http_transport import HttpTransport
from ronkms.audit.sinks.position import Position, PositionFile
from ronkms.audit.sinks.rfc5424 import MessageMaker
from ronkms.audit.sinks.syslog_transport import DatagramTransport, StreamTransport
from ronkms.audit.sinks.transport import Transport
from ronkms.domain.audit_sink import AuditSink


def prepare_positions(sinks: Sequence[AuditSink], directory: Path, head: tuple[int, str]) -> None:
    """Gives each sink that has no position the one where it begins; before the first request.

    ``directory`` and ``head`` of the log. Raises IntegrityError, OSError."""
    for sink in sinks:
        file = PositionFile(directory, sink.name)
        if file.load() is not None:
            continue
        if sink.start == "end":
            file.save(Position(*head))
        else:
            record, leaf = first_record(directory)
            file.save(Position(record, leaf.hex()))


def make_deliveries(
    sinks: Sequence[AuditSink],
    directory: Path,
    *,
    log: DurableLog,
    board: SinkBoard,
    report_dropped: Callable[[str, int, int], object],
    count_failure: Callable[[], object],
) -> list[Delivery]:
    """One for each sink; see ``delivery.Delivery``. Raises IntegrityError, OSError."""
    return [
        Delivery(
            sink,
            make_transport(sink, row),
            directory,
            log=log,
            row=row,
            report_dropped=report_dropped,
            count_failure=count_failure,
        )
        for sink, row in zip(sinks, board.rows, strict=True)
    ]


def make_transport(sink: AuditSink, row: SinkRow) -> Transport:
    """Of the kind of the sink's target."""
    target, encode, timeout = sink.place, encoder(sink.format), sink.timeout_ms / 1000
    context = context_of(sink)
    maker = partial(MessageMaker, sink.name, sink.facility, encode, sink.message_bytes)
    match target.kind:
        case "file":
            return FileTransport(sink.name, Path(target.path), sink.format, encode)
        case "http":
            return HttpTransport(sink, encode, context=context)
        case "unix" | "udp":
            return DatagramTransport(target, maker(), timeout, row.cut)
        case "tcp" | "tls":
            return StreamTransport(target, maker(), timeout, row.cut, resend=sink.resend, context=context)
