"""What the API says about itself, served without a capability: ``/openapi.json`` and ``/docs``."""

from __future__ import annotations

import msgspec

from ronkms.api.answer import JSON
from ronkms.api.docs_page import docs_page
from ronkms.api.openapi import openapi_document
from ronkms.api.router import Document


def served_documents() -> dict[str, Document]:
    """By path. Made once, before the fork; for ``create_wsgi``."""
    document = openapi_document()
    page = docs_page(document)
    return {
        "/openapi.json": Document(msgspec.json.encode(document), JSON),
        "/docs": Document(
            page.body,
            "text/html; charset=utf-8",
            [("Content-Security-Policy", page.content_security_policy), ("Referrer-Policy", "no-referrer")],
        ),
    }
