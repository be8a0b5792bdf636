"""Composes the HTTP API of one service."""

from __future__ import annotations

from collections.abc import Mapping

from ronkms_native import Arena

from ronkms.api.context import Context
from ronkms.api.entry import Entry
from ronkms.api.problem import Problems
from ronkms.api.router import Document, create_router
from ronkms.service.kms import KmsService


def create_wsgi(service: KmsService, arena: Arena, documents: Mapping[str, Document] | None = None) -> Entry:
    """The WSGI application. ``documents`` by path: what is served without a capability, besides the API."""
    context = Context(service, Problems(arena))
    return Entry(context, create_router(context, arena, dict(documents or {})), arena)
