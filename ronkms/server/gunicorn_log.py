"""gunicorn's log lines, in the form of all others."""

from __future__ import annotations

import logging

from gunicorn.config import Config
from gunicorn.glogging import Logger


class GunicornLog(Logger):
    """Hands gunicorn's messages to the root logger; there is no access log of gunicorn's own."""

    def setup(self, cfg: Config) -> None:
        """Replaces the handlers that gunicorn would set up."""
        self.cfg = cfg
        self._access_log_enabled = False
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True
        # Its start-up chatter is debug to an operator; warnings and errors are not.
        level = logging.getLogger().level
        self.error_log.setLevel(level if level <= logging.DEBUG else max(level, logging.WARNING))
