"""The OpenAPI 3.1 document, made from the routes and their types."""

from __future__ import annotations

from typing import Any, Final

from ronkms import __version__
from ronkms.api.answer import JSON, PEM
from ronkms.api.headers import CORR_ID
from ronkms.api.openapi_examples import EXAMPLES
from ronkms.api.openapi_operations import OPERATIONS, TAGS
from ronkms.api.openapi_schemas import Schema, component_schemas, reference
from ronkms.api.problem import CONTENT_TYPE, STATUS
from ronkms.api.routes import ROUTES, Route
from ronkms.api.schemas import Problem
from ronkms.service.reading import MAX_PAGE

DESCRIPTION: Final = """\
Signing and key custody over HTTP. No private key ever leaves the service.

Every request carries a capability: `Authorization: Bearer TOKEN`. The tenant comes from the token. Rights \
are on operations and keys; holders attenuate a token offline.

Bytes are base64 (RFC 4648 section 4, padded); members of a JWK are base64url. Times are Unix seconds, UTC. \
Unknown and repeated members of a request are refused. A body is at most 2 MiB, a batch at most 1,000 items \
and 16 MiB.

Errors are `application/problem+json` (RFC 9457) with a stable `code`. `X-Correlation-ID` goes in and comes \
out: the same id is in the log, the events and the audit record."""

_ALWAYS: Final = (
    "bad_request",
    "unauthenticated",
    "denied",
    "tenant_over_share",
    "saturated",
    "policy_unavailable",
    "audit_unavailable",
    "internal",
)
_WITH_BODY: Final = ("too_large", "unsupported_media_type")
_RETRY: Final = (429, 503)
_BY_SERVER: Final = {414: "bad_request", 431: "bad_request"}
"""Statuses of a request line or headers over the server's limits, which never reach a route."""

_PARAMETERS: Final[dict[str, Schema]] = {
    "key_id": {
        "name": "key_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,127}$", "maxLength": 128},
    },
    "key_version": {
        "name": "key_version",
        "in": "query",
        "description": "The version; by default the one that signs.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 2**32 - 1},
    },
    "after": {
        "name": "after",
        "in": "query",
        "description": "The `next` of the page before.",
        "schema": {"type": "string", "pattern": "^([a-z0-9][a-z0-9._-]{0,127})?$"},
    },
    "limit": {
        "name": "limit",
        "in": "query",
        "description": "Keys on a page.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 100},
    },
    "corr_id": {
        "name": CORR_ID,
        "in": "header",
        "description": "Correlation id, `[A-Za-z0-9._-]{1,64}`; one is made for all else.",
        "schema": {"type": "string"},
    },
}


def openapi_document() -> dict[str, Any]:
    """The whole document. Every reference in it points into its own components."""
    types: list[object] = [Problem]
    for route in ROUTES:
        types += [kind for kind in (route.request, route.response, *(route.batch or ())) if kind is not None]
    by_type, schemas = component_schemas(types)
    paths: dict[str, dict[str, Schema]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ron-kms",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"capability": []}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": _PARAMETERS,
            "headers": {
                "corr_id": {"description": "The correlation id.", "schema": {"type": "string"}},
                "retry_after": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
            },
            "responses": {
                f"problem_{status}": _problem(status) for status in sorted({*STATUS.values(), *_BY_SERVER})
            },
            "securitySchemes": {
                "capability": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "Biscuit v3",
                    "description": "A capability, minted with `ronctl cap mint`.",
                }
            },
        },
    }


def _operation(route: Route, by_type: dict[object, Schema]) -> Schema:
    words = OPERATIONS[route.name]
    path = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    operation: Schema = {
        "operationId": route.name,
        "tags": [words.tag],
        "summary": words.summary,
        "description": f"{words.description}\n\nNeeds the right `{route.op.value}`.",
        "parameters": [
            {"$ref": f"#/components/parameters/{name}"} for name in (*path, *route.query, "corr_id")
        ],
        "responses": {str(route.status): _success(route, by_type)},
    }
    codes = [*_ALWAYS, *words.codes]
    if route.request is not None:
        codes += _WITH_BODY
        operation["requestBody"] = {
            "required": not route.body_optional,
            "content": {JSON: {"schema": _either(route, by_type, 0), "examples": _examples(route.name, 0)}},
        }
    for status in sorted({STATUS[code] for code in codes} | _BY_SERVER.keys()):
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/problem_{status}"}
    return operation


def _success(route: Route, by_type: dict[object, Schema]) -> Schema:
    content: Schema = {}
    for content_type in route.content_types:
        if content_type == PEM:
            content[PEM] = {"schema": {"type": "string"}, "examples": _examples(f"{route.name}_pem", 1)}
        else:
            content[content_type] = {
                "schema": _either(route, by_type, 1),
                "examples": _examples(route.name, 1),
            }
    return {"description": "Done.", "headers": _headers(), "content": content}


def _either(route: Route, by_type: dict[object, Schema], side: int) -> Schema:
    """The schema of the request (0) or the response (1), of one or of a batch."""
    single = by_type[(route.request, route.response)[side]]
    if route.batch is None:
        return single
    return {"oneOf": [single, by_type[route.batch[side]]]}


def _examples(name: str, side: int) -> Schema:
    return {
        example.name: {"summary": example.summary, "value": (example.request, example.response)[side]}
        for example in EXAMPLES[name]
        if (example.request, example.response)[side] is not None
    }


def _problem(status: int) -> Schema:
    codes = [f"`{code}`" for code, its_status in STATUS.items() if its_status == status]
    if status in _BY_SERVER:
        codes.append(f"`{_BY_SERVER[status]}`")
    headers = _headers()
    if status in _RETRY:
        headers["Retry-After"] = {"$ref": "#/components/headers/retry_after"}
    return {
        "description": ", ".join(codes),
        "headers": headers,
        "content": {CONTENT_TYPE: {"schema": reference("Problem")}},
    }


def _headers() -> Schema:
    return {CORR_ID: {"$ref": "#/components/headers/corr_id"}}
