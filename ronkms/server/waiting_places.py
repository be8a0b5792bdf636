"""How many requests may wait unread in each worker.

They count as in flight (``kms_inflight{op="waiting"}``), so the caps of that bound them too.
"""

from __future__ import annotations

from ronkms.config.settings import Settings


def waiting_places(settings: Settings) -> int:
    """Requests that may wait in each worker: the in-flight caps together, shared among the workers."""
    units = settings.max_inflight_sign + settings.max_inflight_verify
    return max(settings.threads, units // settings.worker_count)
