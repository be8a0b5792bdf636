"""Room for the file descriptors of a worker's connections: the usual soft limit of 1,024 is too low."""

from __future__ import annotations

import resource
from typing import Final

import structlog

from ronkms.config.settings import Settings

OTHERS: Final = 256
"""Descriptors of a worker that are no client's: logs, locks, the arena, pipes, a decision point."""

_log = structlog.get_logger()


def allow_connections(settings: Settings) -> None:
    """Raises the soft limit as far as ``connections`` needs it; warns if the hard limit is too low for that.

    Children inherit it. Without room a worker accepts no more, and says so, until a connection ends."""
    needed = settings.connections + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _enough(soft, needed):
        return
    allowed = needed if _enough(hard, needed) else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        _log.warning(
            "few_descriptors", limit=hard, needed=needed, advice="raise LimitNOFILE, or lower connections"
        )


def _enough(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= needed
