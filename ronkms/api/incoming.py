"""What a handler may ask of a request. The body is read here, once, and only when a handler wants it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from ronkms.errors import BadRequest, TooLarge, Unauthenticated, UnsupportedMediaType

Environ = dict[str, Any]

MAX_BODY: Final = 2 * 1024 * 1024
MAX_BATCH_BODY: Final = 16 * 1024 * 1024

DRAINED: Final = 32 * 1024
"""An unread body up to this size costs the server less to skip than a new connection costs the client."""

CORR_ID: Final = "ronkms.corr_id"
AUTHENTICATED: Final = "ronkms.authenticated"
PRESSES: Final = "ronkms.presses"
"""What the server wants to be called with the tenant; may be missing."""
CLIENT_CERT: Final = "ronkms.client_cert_sha256"
"""What the server sets with mutual TLS; no header can."""
PEER: Final = "REMOTE_ADDR"
_BODY_READ: Final = "ronkms.body_read"
_CORR_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_BEARER: Final = "bearer "
_NO_TOKEN: Final = "send a valid capability: Authorization: Bearer TOKEN"  # noqa: S105  # a message


SHORT: Final = 100_000
"""Longest body that the hot path takes."""


def short_json_length(environ: Environ) -> int:
    """Length of a plain, short JSON body without query parameters; 0 for any other."""
    if (
        environ.get("QUERY_STRING")
        or environ.get("CONTENT_TYPE") != "application/json"
        or "HTTP_CONTENT_ENCODING" in environ
        or "HTTP_TRANSFER_ENCODING" in environ
    ):
        return 0
    length = int(environ.get("CONTENT_LENGTH") or 0)
    return length if length <= SHORT else 0


class Incoming:
    """One request, after routing. ``params`` are the variable parts of the path."""

    __slots__ = ("action", "environ", "params")

    def __init__(self, environ: Environ, params: Mapping[str, str], action: str = "") -> None:
        """``action``: ``operationId`` of the route."""
        self.environ = environ
        self.params = params
        self.action = action

    @property
    def source(self) -> str:
        """Address of the peer of the connection; empty if unknown. Forwarded headers are not believed."""
        address: str = self.environ.get(PEER, "")
        return address

    @property
    def client_cert(self) -> str:
        """SHA-256 of the connection's client certificate (DER), lower-case hex; empty without mutual TLS."""
        found: str = self.environ.get(CLIENT_CERT, "")
        return found

    @property
    def presses(self) -> bool:
        """More of its tenant's requests wait while others were served lately (``server.fair_queue``)."""
        found: bool = self.environ.get(PRESSES, False)
        return found

    def authenticated(self, tenant: bytes) -> None:
        """Tells the server whose request this is, so that it can be fair (``server.worker``)."""
        tell = self.environ.get(AUTHENTICATED)
        if tell is not None:
            tell(tenant)

    def json_body(self, limit: int = MAX_BODY, *, required: bool = True) -> bytes:
        """The whole body; may be missing unless ``required``. What takes a body takes no query parameters.

        Raises UnsupportedMediaType, TooLarge, BadRequest."""
        self.query()
        environ = self.environ
        length = environ.get("CONTENT_LENGTH")
        if not length and "HTTP_TRANSFER_ENCODING" not in environ:
            length = "0"
        if length == "0":
            if required:
                raise BadRequest("a JSON body is needed")
            return b""
        content_type = environ.get("CONTENT_TYPE", "")
        if content_type != "application/json" and not _is_json(content_type):
            raise UnsupportedMediaType("the body must be application/json")
        if "HTTP_CONTENT_ENCODING" in environ:
            raise UnsupportedMediaType("the body must not be compressed")
        if length:
            if int(length) > limit:
                raise TooLarge(f"the body is over {limit} bytes")
            body = self._read(int(length))
            if len(body) != int(length):
                raise BadRequest("the body is shorter than its Content-Length")
        else:
            body = self._read(limit + 1)
            if len(body) > limit:
                raise TooLarge(f"the body is over {limit} bytes")
        environ[_BODY_READ] = True
        return body

    def query(self, *allowed: str) -> dict[str, str]:
        """Query parameters. Raises BadRequest for one that is not allowed, or repeated."""
        text = self.environ.get("QUERY_STRING", "")
        if not text:
            return {}
        try:
            pairs = parse_qsl(
                text, keep_blank_values=True, strict_parsing=True, max_num_fields=16, errors="strict"
            )
        except ValueError:
            raise BadRequest("the query string is malformed") from None
        found: dict[str, str] = {}
        for name, value in pairs:
            if name not in allowed or name in found:
                raise BadRequest(f"query parameters are {', '.join(allowed) or 'none'}, each at most once")
            found[name] = value
        return found

    def accepts(self, media_type: str) -> bool:
        """Whether the Accept header names this media type."""
        ranges = self.environ.get("HTTP_ACCEPT", "").lower().split(",")
        return any(each.partition(";")[0].strip() == media_type for each in ranges)

    def _read(self, size: int) -> bytes:
        try:
            body: bytes = self.environ["wsgi.input"].read(size)
        except OSError:
            raise
        except Exception as error:  # the server's own parse errors, of a chunked body
            raise BadRequest("the body is not correctly framed") from error
        return body


def bearer(environ: Environ) -> str:
    """The capability token. Raises Unauthenticated if there is none."""
    header: str = environ.get("HTTP_AUTHORIZATION", "")
    if header[:7].lower() != _BEARER:
        raise Unauthenticated(_NO_TOKEN)
    return header[7:].strip()


def correlation_id(environ: Environ) -> str:
    """That of the request if it is well-formed, else a fresh one."""
    given = environ.get("HTTP_X_CORRELATION_ID")
    if given is not None and _CORR_ID.fullmatch(given) is not None:
        return str(given)
    return secrets.token_hex(16)


def leaves_body(environ: Environ) -> bool:
    """True if a body that is too large to skip was not read: the connection must end with the answer."""
    if _BODY_READ in environ:
        return False
    length = environ.get("CONTENT_LENGTH")
    return int(length) > DRAINED if length else "HTTP_TRANSFER_ENCODING" in environ


def _is_json(content_type: str) -> bool:
    media_type, _, parameters = content_type.partition(";")
    if media_type.strip().lower() != "application/json":
        return False
    return parameters.strip().lower().replace('"', "") in ("", "charset=utf-8")
