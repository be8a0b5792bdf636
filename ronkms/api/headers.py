"""Headers that every answer of the API has."""

from __future__ import annotations

from typing import Final

SECURITY: Final = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
CORR_ID: Final = "X-Correlation-ID"
CLOSE: Final = ("Connection", "close")
