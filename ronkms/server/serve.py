"""Runs the server: composes the application, binds, forks, and leaves through ``SystemExit``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import structlog

from ronkms.app import create_app
from ronkms.config.effect import without_effect
from ronkms.config.settings import Settings
from ronkms.observe.logs import ready_line
from ronkms.server.admin_process import AdminProcess
from ronkms.server.arbiter import KmsArbiter
from ronkms.server.attendant import Attendant
from ronkms.server.board import ADMIN_ROW, ProcessBoard
from ronkms.server.descriptors import allow_connections
from ronkms.server.gunicorn_application import KmsServer
from ronkms.server.listen import listen
from ronkms.server.process import harden
from ronkms.server.sinks_process import SinksProcess

_log = structlog.get_logger()


def serve(settings: Settings, *, announce: Callable[[], None] | None = None) -> None:
    """Serves until told to stop. ``announce`` runs once, when the server is ready.

    Raises :class:`ronkms.errors.StartError` when it cannot start, :class:`SystemExit` when it stops.
    """
    harden()
    allow_connections(settings)
    for setting in without_effect(settings):
        _log.warning("setting_without_effect", setting=setting)
    application = create_app(settings)
    api = listen(settings.api, setting="api_addr", backlog=settings.backlog)
    metrics = listen(settings.metrics, setting="metrics_addr", backlog=128)
    board = ProcessBoard(settings.worker_count)
    attendants = [Attendant("admin", ADMIN_ROW, AdminProcess(application, metrics, board).run)]
    if settings.audit_sinks:
        # After the admin process, whose last records go out too.
        attendants.append(Attendant("audit-sinks", board.sinks_row, SinksProcess(application).run))

    def on_ready() -> None:
        sys.stderr.write(ready_line(settings.log_format) + "\n")
        sys.stderr.flush()
        if announce is not None:
            announce()

    server = KmsServer(application, api, board)
    # gunicorn takes the descriptor over.
    api.detach()
    try:
        KmsArbiter(server, attendants=attendants, on_ready=on_ready).run()
    finally:
        # A child leaves through here too: what the arbiter holds is not its to give back.
        if os.getpid() == board.arbiter:
            application.close()
