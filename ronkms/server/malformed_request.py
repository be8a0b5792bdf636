"""What a request is answered that gunicorn could not parse, or that failed outside the application."""

from __future__ import annotations

from typing import Final

from gunicorn.http import errors
from gunicorn.http.errors import InvalidResponseHeader, InvalidResponseHeaderName  # type: ignore[attr-defined]

_STATUS: Final[tuple[tuple[type[Exception], int, str], ...]] = (
    (errors.LimitRequestLine, 414, "the request line is too long"),
    (errors.LimitRequestHeaders, 431, "the headers are too large"),
    (errors.UnsupportedTransferCoding, 501, "the transfer coding is not supported"),
    (errors.ExpectationFailed, 417, "the expectation cannot be met"),
    (errors.InvalidHTTPVersion, 505, "HTTP/1.0 and HTTP/1.1 are supported"),
)


def status_of(exc: BaseException) -> tuple[int, str, str]:
    """Status, stable code and detail of the answer; 500 for whatever the client is not to blame for."""
    if isinstance(exc, InvalidResponseHeader | InvalidResponseHeaderName):
        return 500, "internal", "internal error"
    for kind, status, detail in _STATUS:
        if isinstance(exc, kind):
            return status, "bad_request", detail
    if isinstance(exc, errors.ParseException):
        return 400, "bad_request", "the request is not well-formed HTTP/1.1"
    return 500, "internal", "internal error"
