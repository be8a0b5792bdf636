"""What carries records to a sink (docs/formats/audit-sinks.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ronkms.audit.follower import Followed


class Transport(Protocol):
    """One connection or file of one sink, used by one thread.

    Every method may wait as long as the sink's time-out, a disk even longer: nobody else waits for it. Each
    raises Unavailable, OSError or http.client.HTTPException when the sink fails; then it is closed, and
    opened again. ``IntegrityError``: a record cannot be formatted."""

    def open(self) -> None:
        """Connects, or makes the file."""

    def deliver(self, records: Sequence[Followed]) -> int:
        """Delivers the first ones, at least one, and returns how many. An exception means that none of them
        counts; some may have arrived all the same."""

    def check(self) -> None:
        """While there is nothing to deliver: raises if the sink is gone."""

    def flush(self) -> None:
        """What was delivered survives a power cut of this machine. Raises ``durable_file.SyncError``: what
        was delivered since the last flush may be lost."""

    def close(self) -> None:
        """Gives everything back; never raises."""
