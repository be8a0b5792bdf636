"""The process of the audit sinks: apart from workers and health, so that nothing waits for it.

It speaks to the network and holds no keys (``app.Application.after_fork``). It ends last, so that the records
of all others can go out.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ronkms.app import Application


class SinksProcess:
    """Composed before the fork, run after it."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def run(self) -> None:
        """Feeds the sinks until SIGQUIT. SIGTERM and SIGINT are the arbiter's."""
        stop = threading.Event()

        def leave(_signal: int, _frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGQUIT, leave)
        for number in (
            signal.SIGTERM,
            signal.SIGINT,
            signal.SIGHUP,
            signal.SIGUSR1,
            signal.SIGUSR2,
            signal.SIGTTIN,
            signal.SIGTTOU,
            signal.SIGWINCH,
        ):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._application.audit_parts.sink_feeder(self._application.publish).run(stop)
