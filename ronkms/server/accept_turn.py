"""Which worker takes the next connection: one that has not many more than the others.

All workers wait at the same listeners, and the kernel wakes them in an order of its own; with keep-alive a
worker that happened to take more keeps them, while another idles. So a worker with ``MARGIN`` connections
more than the least loaded one leaves a new connection in the kernel, as long as that one goes on taking. If
that has not taken any for ``LEAVE_SECONDS`` (it may be stopped, or stuck), this one takes what is there for
``TAKE_SECONDS``, whatever the others have.
"""

from __future__ import annotations

from typing import Final

from ronkms.server.board import ProcessBoard

MARGIN: Final = 2
LEAVE_SECONDS: Final = 0.02
TAKE_SECONDS: Final = 0.1
LOOK_SECONDS: Final = 0.002
"""Between two looks at what the others have."""
FORGOTTEN_SECONDS: Final = 0.25
"""After so long without a look, the connection that was left has found a worker: another one waits now."""


class AcceptTurn:
    """Of one worker; all times are ``time.monotonic()`` seconds."""

    def __init__(self, board: ProcessBoard) -> None:
        self._board = board
        self._fewest = -1
        self._stuck_at = 0.0
        self._take_until = 0.0
        self.look_at = 0.0
        """Until then new connections are the others'."""

    def leaves(self, row: int, connections: int, now: float) -> bool:
        """A connection waits: True if this worker, which has ``connections``, does not take it now."""
        if now < self._take_until:
            return False
        fewest = self._board.fewest_connections(row)
        if fewest is None or connections - fewest < MARGIN:
            self._fewest = -1
            return False
        if fewest != self._fewest or now > self.look_at + FORGOTTEN_SECONDS:
            self._fewest = fewest
            self._stuck_at = now + LEAVE_SECONDS
        elif now >= self._stuck_at:
            self._fewest = -1
            self._take_until = now + TAKE_SECONDS
            return False
        self.look_at = now + LOOK_SECONDS
        return True
