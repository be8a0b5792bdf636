"""Answers of the server itself, written without the application: problem+json, and the connection ends."""

from __future__ import annotations

import json
import uuid
from http import HTTPStatus

from ronkms.server.http_response import SERVER_NAME


def closing_answer(status: int, code: str, detail: str, *, retry_after: int | None = None) -> bytes:
    """A whole HTTP/1.1 answer with ``Connection: close``. ``detail`` must not repeat the request's bytes."""
    reason = HTTPStatus(status).phrase
    corr_id = uuid.uuid4().hex
    body = json.dumps(
        {
            "type": f"urn:ron-kms:problem:{code}",
            "title": reason,
            "status": status,
            "detail": detail,
            "code": code,
            "corr_id": corr_id,
        },
        separators=(",", ":"),
    )
    retry = f"Retry-After: {retry_after}\r\n" if retry_after else ""
    return (
        f"HTTP/1.1 {status} {reason}\r\nServer: {SERVER_NAME}\r\nConnection: close\r\n"
        f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n"
        f"X-Correlation-ID: {corr_id}\r\n{retry}\r\n{body}"
    ).encode()
