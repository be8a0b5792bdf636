"""gunicorn's settings, out of ours."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from pathlib import Path
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Final

from gunicorn.app.base import BaseApplication
from gunicorn.config import Config

from ronkms.config.settings import Settings
from ronkms.server.board import ProcessBoard
from ronkms.server.gunicorn_log import GunicornLog
from ronkms.server.tls import TlsContext
from ronkms.server.worker import KmsWorker

if TYPE_CHECKING:
    from ronkms.app import Application

HEADER_LIMIT: Final = 9216
"""Bytes of one header field: a capability has at most 8 KiB."""


class KmsServer(BaseApplication):
    """What gunicorn's arbiter and workers see of this service."""

    def __init__(self, application: Application, listener: socket.socket, board: ProcessBoard) -> None:
        self.application = application
        self.settings: Settings = application.settings
        self.board = board
        self._listener = listener
        self._tls = TlsContext(self.settings) if self.settings.tls else None
        super().__init__(prog="ron-kms")

    def load_config(self) -> None:
        """Every setting that gunicorn would otherwise take from its own environment is set here."""
        settings = self.settings
        shared_memory = Path("/dev/shm")  # noqa: S108  # heartbeat files, unlinked at once
        values: dict[str, Any] = {
            "bind": f"fd://{self._listener.fileno()}",
            "backlog": settings.backlog,
            "workers": settings.worker_count,
            "worker_class": KmsWorker,
            "threads": settings.threads,
            "worker_connections": settings.connections,
            "worker_tmp_dir": str(shared_memory) if shared_memory.is_dir() else None,
            "keepalive": math.ceil(settings.keepalive_ms / 1000),
            "graceful_timeout": math.ceil(settings.drain_timeout_ms / 1000),
            "timeout": 30,
            "preload_app": True,
            "limit_request_line": 2048,
            "limit_request_fields": 64,
            "limit_request_field_size": HEADER_LIMIT,
            "forwarded_allow_ips": "",
            "secure_scheme_headers": {},
            "proxy_allow_ips": "",
            "http_protocols": "h1",
            "accesslog": None,
            "logger_class": GunicornLog,
            "proc_name": "ron-kms",
            "control_socket_disable": True,
        }
        if settings.tls:
            values["certfile"] = settings.tls_cert
            values["keyfile"] = settings.tls_key
            values["ssl_context"] = self._ssl_context
        for name, value in values.items():
            self.cfg.set(name, value)

    def _ssl_context(self, _config: Config, _default: Callable[[], SSLContext]) -> SSLContext:
        assert self._tls is not None  # noqa: S101
        return self._tls.current()

    def load(self) -> Any:
        """The WSGI application, the same in every worker."""
        return self.application.wsgi
