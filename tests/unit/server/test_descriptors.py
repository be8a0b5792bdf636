"""Room for the descriptors of all connections."""

from __future__ import annotations

import resource

import pytest
import structlog

from ronkms.config import Settings
from ronkms.server.descriptors import OTHERS, allow_connections

NEEDED = 1000 + OTHERS
INFINITY = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "allowed", "warned"),
    [
        (1024, 524288, NEEDED, False),
        (1024, INFINITY, NEEDED, False),
        (64, 64, 64, True),
        (64, NEEDED - 1, NEEDED - 1, True),
        (NEEDED, NEEDED, None, False),
        (INFINITY, INFINITY, None, False),
    ],
)
def test_limits(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, allowed: int | None, warned: bool
) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    with structlog.testing.capture_logs() as logs:
        allow_connections(Settings(connections=1000))
    assert set_to == ([] if allowed is None else [(allowed, hard)])
    assert [log["event"] for log in logs] == (["few_descriptors"] if warned else [])
