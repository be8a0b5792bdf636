"""Brings the records of the log to one sink, in a thread of its own.

Invariants: records go out in the order of the log, each held to the chain; the kept position is never ahead
of what was delivered and flushed; what is in memory is one read of the log.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

import structlog

from ronkms.audit.follower import Followed, LogFollower, first_record, line_of
from ronkms.audit.merkle import leaf_hash
from ronkms.audit.sinks.board import SinkRow
from ronkms.audit.sinks.position import Position, PositionFile
from ronkms.audit.sinks.transport import Transport
from ronkms.domain.audit_sink import AuditSink
from ronkms.errors import IntegrityError, KmsError, Unavailable
from ronkms.journal.durable_file import SyncError

POLL_SECONDS: Final = 0.02
CHECK_SECONDS: Final = 0.2
SAVE_SECONDS: Final = 0.25
SAVE_RECORDS: Final = 1000
FIRST_BACKOFF_SECONDS: Final = 0.1
_ERROR_MAX: Final = 200

_log = structlog.get_logger("ronkms.audit_sinks")


class DurableLog(Protocol):
    """The part of ``ronkms_native.AuditLog`` that is used here."""

    @property
    def durable(self) -> int: ...


class Delivery:
    """``record`` is the next one to deliver, ``fault`` what is wrong now (empty: nothing), ``last_fault``
    what was last."""

    def __init__(
        self,
        sink: AuditSink,
        transport: Transport,
        directory: Path,
        *,
        log: DurableLog,
        row: SinkRow,
        report_dropped: Callable[[str, int, int], object],
        count_failure: Callable[[], object],
    ) -> None:
        """``directory`` of the log. ``report_dropped(name, first, last)`` writes the audit record of skipped
        ones; ``count_failure`` counts a log that is not what was delivered before. Raises IntegrityError,
        OSError: the sink has no position, or a damaged one."""
        self.sink = sink
        self.fault = ""
        self.last_fault = ""
        self.faults = 0
        """How often a sink that was well became faulty."""
        self.reached = False
        """It was well once in this process."""
        self._transport = transport
        self._directory = directory
        self._log = log
        self._row = row
        self._report_dropped = report_dropped
        self._count_failure = count_failure
        self._position = PositionFile(directory, sink.name)
        kept = self._position.load()
        if kept is None:
            raise IntegrityError(f"the audit sink {sink.name} has no position; restart the server")
        self._saved = kept
        self._saved_at = time.monotonic()
        self.record = kept.record
        self._leaf = bytes.fromhex(kept.leaf)
        self._follower: LogFollower | None = None
        self._pending: deque[Followed] = deque()
        self._failures = 0
        self._counted = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"audit-sink-{sink.name}", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends when everything is delivered, or at the first failure; see :meth:`wait`."""
        self._stop.set()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within that time; its position is kept then."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            try:
                self._transport.open()
                self._pump()
            except IntegrityError as error:
                self._log_is_wrong(error)
            except (KmsError, OSError, http.client.HTTPException) as error:
                if isinstance(error, SyncError):
                    self._rewind()
                self._failed(fault_text(error))
            except Exception as error:  # noqa: BLE001  # see below
                # A thread that ended would look like a sink that is stuck for no reason.
                _log.exception("audit_sink_failed", sink=self.sink.name)
                self._failed(type(error).__name__)
            finally:
                self._transport.close()
            if self._stop.is_set():
                return
            self._stop.wait(backoff_seconds(self._failures, self.sink.backoff_max_ms / 1000))

    def _pump(self) -> None:
        """Delivers until it is told to stop and has nothing left. Raises what the transport does."""
        checked = time.monotonic()
        while True:
            if self._fill():
                self._deliver()
                continue
            self._well()
            self._save_if_due(force=self._stop.is_set())
            if self._stop.is_set():
                return
            if time.monotonic() >= checked + CHECK_SECONDS:
                self._transport.check()
                checked = time.monotonic()
            self._stop.wait(POLL_SECONDS)

    def _fill(self) -> bool:
        """Whether there is something to deliver."""
        end = self._log.durable
        self._skip_backlog(end)
        if self._pending:
            return True
        if self.record > end:
            raise IntegrityError(
                f"record {self.record - 1} was delivered, the log has {end}: it was rolled back"
            )
        if self.record == end:
            return False
        if self._follower is None:
            self._follower = LogFollower(self._directory, self.record, self._leaf)
        self._pending.extend(self._follower.read_records(end))
        if not self._pending:
            raise IntegrityError(f"the log ends after {self.record} of {end} records: it was cut")
        return True

    def _deliver(self) -> None:
        batch = list(islice(self._pending, self.sink.batch_records))
        count = self._transport.deliver(batch)
        for _ in range(count):
            last = self._pending.popleft()
        self.record, self._leaf = last.number + 1, last.leaf
        self._row.delivered(count)
        self._well()
        self._save_if_due()

    def _skip_backlog(self, end: int) -> None:
        limit = self.sink.max_backlog
        if not limit or end - self.record <= limit:
            return
        first, begin = self.record, end - limit // 2
        leaf = leaf_hash(line_of(self._directory, begin - 1))
        self._report_dropped(self.sink.name, first, begin - 1)
        _log.error("audit_sink_dropped", sink=self.sink.name, first=first, last=begin - 1)
        self._row.dropped(begin - first)
        self._read_from(begin, leaf)

    def _save_if_due(self, *, force: bool = False) -> None:
        ahead = self.record - self._saved.record
        if not ahead:
            return
        if force or ahead >= SAVE_RECORDS or time.monotonic() >= self._saved_at + SAVE_SECONDS:
            self._transport.flush()
            position = Position(self.record, self._leaf.hex())
            try:
                self._position.save(position)
            except OSError as error:
                raise Unavailable(f"its position cannot be kept: {error}") from None
            self._saved = position
            self._saved_at = time.monotonic()

    def _rewind(self) -> None:
        """To what was flushed: what came after it may be lost."""
        self._read_from(self._saved.record, bytes.fromhex(self._saved.leaf))

    def _read_from(self, record: int, leaf: bytes) -> None:
        self.record, self._leaf = record, leaf
        self._follower = None
        self._pending.clear()

    def _well(self) -> None:
        self.reached = True
        self.fault = ""
        self._failures = 0

    def _failed(self, text: str) -> None:
        self._row.failed(text)
        self._failures += 1
        if not self.fault:
            self.faults += 1
        self.fault = self.last_fault = text

    def _log_is_wrong(self, error: IntegrityError) -> None:
        self._read_from(self.record, self._leaf)
        if self._archived():
            self._failed(f"record {self.record} is in an archived segment: bring it back")
            return
        if not self._counted:
            self._counted = True
            self._count_failure()
            _log.error(
                "audit_integrity_failed",
                sink=self.sink.name,
                error=str(error),
                advice="keep the directory as evidence, see ronctl audit verify",
            )
        self._failed(fault_text(error))

    def _archived(self) -> bool:
        try:
            return first_record(self._directory)[0] > self.record
        except (IntegrityError, OSError):
            return False


def backoff_seconds(failures: int, longest: float) -> float:
    """Pause after so many failures in a row: doubled each time, with up to half of it taken off at random."""
    whole = min(longest, FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 30))
    return whole * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, protects nothing


def fault_text(error: Exception) -> str:
    """One line. Of an HTTP answer that is none, and so the peer's own bytes, the kind alone."""
    if isinstance(error, TimeoutError):
        text = "timed out"
    elif isinstance(error, http.client.HTTPException):
        text = f"not an HTTP answer: {type(error).__name__}"
    else:
        text = str(error)
    return "".join(char if char.isprintable() else " " for char in text)[:_ERROR_MAX]
