"""The client of the decision point, out of the settings ``policy_*``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ronkms.config.settings import Settings
from ronkms.policy.external.credentials import BearerToken, ClientTls
from ronkms.policy.external.decision_point import DecisionPoint
from ronkms.policy.external.decisions import Limits


def connector(settings: Settings) -> Callable[[], DecisionPoint]:
    """Makes a client; the files are read here, once for all processes. Raises :class:`ConfigError`."""
    tls = None
    if settings.policy_url.startswith("https:"):
        tls = ClientTls(settings.policy_tls_ca, settings.policy_tls_cert, settings.policy_tls_key)
    token = BearerToken(settings.policy_token_file) if settings.policy_token_file else None
    return partial(
        DecisionPoint, settings.policy_url, connections=settings.policy_connections, tls=tls, token=token
    )


def limits(settings: Settings) -> Limits:
    """In seconds."""
    return Limits(
        timeout=settings.policy_timeout_ms / 1000,
        cache_ttl=settings.policy_cache_ttl_ms / 1000,
        cache_deny_ttl=settings.policy_cache_deny_ttl_ms / 1000,
        cache_max=settings.policy_cache_max,
        breaker_failures=settings.policy_breaker_failures,
        breaker_cooldown=settings.policy_breaker_cooldown_ms / 1000,
    )
