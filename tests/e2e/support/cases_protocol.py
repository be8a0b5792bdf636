"""Bad requests of HTTP/1.1 itself: request lines, headers and framing that invite smuggling.

The server answers them before it has read the headers, so none echoes the correlation id.
"""

from __future__ import annotations

import json

from tests.e2e.support.bad_request_case import Case, signing
from tests.e2e.support.bad_request_stage import Stage

BODY = json.dumps(signing()).encode()
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"


def _broken(name: str, *lines: str, status: int = 400, start: str = "POST /v1/kms/sign HTTP/1.1") -> Case:
    """``lines`` beside a good token and body; ``start`` is the request line."""

    def raw(stage: Stage) -> bytes:
        head = (start, "Host: 127.0.0.1", f"Authorization: Bearer {stage.tokens['admin']}", *lines)
        return "\r\n".join((*head, "Content-Type: application/json", "", "")).encode("latin-1") + BODY

    return Case(name, status, "bad_request", raw, echoes=False)


def _bytes(name: str, sent: bytes, status: int = 400) -> Case:
    return Case(name, status, "bad_request", lambda _stage: sent, echoes=False)


CASES = [
    _broken("Content-Length and Transfer-Encoding", LENGTH, CHUNKED),
    _broken("Transfer-Encoding and Content-Length", CHUNKED, LENGTH),
    _broken("two Content-Lengths", LENGTH, "Content-Length: 3"),
    _broken("Content-Length twice the same", LENGTH, LENGTH),
    _broken("chunked twice", f"{CHUNKED}, chunked"),
    _broken("chunked is not last", f"{CHUNKED}, identity"),
    _broken("chunked with a tab", "Transfer-Encoding:\tchunked\x0b"),
    _broken("coding that nobody knows", "Transfer-Encoding: brotli", status=501),
    _broken("space before a colon", LENGTH, "X-Test : a"),
    _broken("space in a header name", LENGTH, "X Test: a"),
    _broken("header without a colon", LENGTH, "X-Test"),
    _broken("header without a name", LENGTH, ": a"),
    _broken("NUL in a header", LENGTH, "X-Test: a\0b"),
    _broken("bare CR in a header", LENGTH, "X-Test: a\rX-Other: b"),
    _broken("folded header", LENGTH, "X-Test: a", " b"),
    _broken("200 headers", LENGTH, *(f"X-Test-{number}: a" for number in range(200)), status=431),
    _broken("header of 20,000 bytes", LENGTH, f"X-Test: {'a' * 20_000}", status=431),
    _broken("expectation that nobody knows", LENGTH, "Expect: a-miracle", status=417),
    _broken("HTTP/3.0", LENGTH, start="POST /v1/kms/sign HTTP/3.0", status=505),
    _broken("HTTP/1.1 in small letters", LENGTH, start="POST /v1/kms/sign http/1.1", status=505),
    _broken("no version", LENGTH, start="POST /v1/kms/sign"),
    _broken("two spaces in the request line", LENGTH, start="POST  /v1/kms/sign HTTP/1.1"),
    _broken("method with a control character", LENGTH, start="PO\x01ST /v1/kms/sign HTTP/1.1"),
    _broken("target of 20,000 bytes", LENGTH, start=f"POST /v1/kms/{'a' * 20_000} HTTP/1.1", status=414),
    _bytes("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    _bytes("TLS greeting", bytes.fromhex("16030100700100006c0303") + bytes(32) + b"\r\n\r\n"),
    _bytes("binary noise", bytes(range(128, 256)) + b"\r\n\r\n"),
]
