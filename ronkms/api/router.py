"""The Falcon application: routing and HTTP for every route; the handlers know nothing of Falcon."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import falcon
from ronkms_native import Arena

from ronkms.api.context import Context
from ronkms.api.headers import CLOSE, SECURITY
from ronkms.api.headers import CORR_ID as CORR_ID_HEADER
from ronkms.api.incoming import CORR_ID, Incoming, bearer, leaves_body
from ronkms.api.problem import CONTENT_TYPE, STATUS_LINE
from ronkms.api.routes import ROUTES, Route
from ronkms.domain.measure import http_counter
from ronkms.errors import BadRequest, MethodNotAllowed, NotFound, TooLarge, UnsupportedMediaType


class _Responder:
    """One route as Falcon wants it."""

    def __init__(self, context: Context, route: Route) -> None:
        self._perform = context.service.gate.perform
        self._op = route.op
        self._action = route.action
        self._status = STATUS_LINE[route.status]
        self._work = partial(route.handler, context)

    def __call__(self, req: falcon.Request, resp: falcon.Response, **params: str) -> None:
        """Runs the handler between admission and audit."""
        incoming = Incoming(req.env, params, self._action)
        answer = self._perform(bearer(req.env), self._op, req.env[CORR_ID], self._work, incoming)
        resp.status = self._status
        resp.content_type = answer.content_type
        resp.data = answer.body


class _Resource:
    """The routes of one path."""


class Document:
    """A fixed document that needs no capability: it says nothing about keys."""

    def __init__(self, body: bytes, content_type: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        self._body = body
        self._content_type = content_type
        self._headers = tuple(headers)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The document."""
        resp.content_type = self._content_type
        resp.data = self._body
        for name, value in self._headers:
            resp.set_header(name, value)


class _Envelope:
    """Falcon middleware: the headers of every answer, and its count."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, req_succeeded: bool
    ) -> None:
        """Runs for errors too."""
        for name, value in SECURITY:
            resp.set_header(name, value)
        resp.set_header(CORR_ID_HEADER, req.env[CORR_ID])
        if leaves_body(req.env):
            resp.set_header(*CLOSE)
        self._arena.count(http_counter(resp.status_code))


def create_router(context: Context, arena: Arena, documents: dict[str, Document]) -> falcon.App[Any, Any]:
    """``documents`` by path. ``environ`` must hold the correlation id already."""
    router = falcon.App(middleware=[_Envelope(arena)], independent_middleware=True)
    router.req_options.strip_url_path_trailing_slash = False
    resources: dict[str, _Resource] = {}
    for route in ROUTES:
        resource = resources.setdefault(route.path, _Resource())
        setattr(resource, f"on_{route.method.lower()}", _Responder(context, route))
    for path, resource in resources.items():
        router.add_route(path, resource)
    for path, document in documents.items():
        router.add_route(path, document)

    def answer_problem(
        req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]
    ) -> None:
        problem = context.problems.answer(_translated(error, req), req.env[CORR_ID])
        resp.status = STATUS_LINE[problem.status]
        resp.content_type = CONTENT_TYPE
        resp.data = problem.body
        resp.text = None
        for name, value in problem.headers:
            resp.set_header(name, value)

    router.add_error_handler(Exception, answer_problem)
    router.add_error_handler(falcon.HTTPError, answer_problem)
    return router


def _translated(error: Exception, req: falcon.Request) -> Exception:
    if not isinstance(error, falcon.HTTPError):
        return error
    if isinstance(error, falcon.HTTPMethodNotAllowed):
        return _wrong_method(dict(error.headers or {}).get("Allow", "").split(", "))
    if req.method not in falcon.HTTP_METHODS and req.uri_template is not None:
        # Falcon answers 400 to methods that it has never heard of.
        return _wrong_method(route.method for route in ROUTES if route.path == req.uri_template)
    match error.status_code:
        case 404:
            return NotFound("no such route; see /openapi.json")
        case 413:
            return TooLarge("the request is too large")
        case 415:
            return UnsupportedMediaType("the body must be application/json")
        case status if status < 500:
            return BadRequest("the request is malformed")
        case _:
            return error


def _wrong_method(allowed: Iterable[str]) -> MethodNotAllowed:
    methods = tuple(sorted({*allowed, "OPTIONS"}))
    return MethodNotAllowed(f"this route takes {', '.join(methods)}", methods)
