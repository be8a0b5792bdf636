"""The WSGI entry: the operations on data at once, everything else through the router.

The direct routes run the same handlers as all others and give the same answers. Before sign and verify stands
the native engine (``service.hot_path``), which answers what it was taught and declines the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from io import BytesIO
from time import perf_counter_ns
from typing import Any, Final
from wsgiref.types import StartResponse

import falcon
import structlog
from ronkms_native import Arena

from ronkms._fastpath import UNKNOWN_GRANT, UNKNOWN_KEY, CompiledToken
from ronkms.api.answer import JSON
from ronkms.api.context import Context
from ronkms.api.headers import CLOSE, SECURITY
from ronkms.api.headers import CORR_ID as CORR_ID_HEADER
from ronkms.api.incoming import (
    AUTHENTICATED,
    CLIENT_CERT,
    CORR_ID,
    PEER,
    Environ,
    Incoming,
    bearer,
    correlation_id,
    leaves_body,
    short_json_length,
)
from ronkms.api.problem import CONTENT_TYPE, STATUS_LINE
from ronkms.api.routes import DIRECT, ROUTES
from ronkms.domain.measure import http_counter
from ronkms.service.hot_path import OPERATIONS, HotPath

_OK: Final = STATUS_LINE[200]
_OK_COUNTER: Final = http_counter(200)
_JSON_TYPE: Final = ("Content-Type", JSON)
_PROBLEM_TYPE: Final = ("Content-Type", CONTENT_TYPE)
_NO_PARAMS: Final[dict[str, str]] = {}

_bind = structlog.contextvars.bind_contextvars


class Entry:
    """One instance a server, shared by all threads."""

    def __init__(self, context: Context, router: falcon.App[Any, Any], arena: Arena) -> None:
        self._router = router
        self._problems = context.problems
        self._perform = context.service.gate.perform
        self._shed = context.service.gate.shed
        self._arena = arena
        self._direct = {
            route.path: (route.op, OPERATIONS.get(route.op), route.action, partial(route.handler, context))
            for route in ROUTES
            if route.name in DIRECT
        }
        self._hot_path: HotPath | None = None

    def use_hot_path(self, hot_path: HotPath) -> None:
        """In a worker, after the fork."""
        self._hot_path = hot_path

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """PEP 3333."""
        corr_id = correlation_id(environ)
        direct = self._direct.get(environ["PATH_INFO"])
        if direct is None or environ["REQUEST_METHOD"] != "POST":
            _bind(corr_id=corr_id)
            environ[CORR_ID] = corr_id
            body: Iterable[bytes] = self._router(environ, start_response)
            return body
        op, index, action, work = direct
        hot_path = self._hot_path if index is not None else None
        token: CompiledToken | None = None
        declined: object = None
        taken: bytes | None = None
        if hot_path is not None and index is not None:
            engine = hot_path.engine
            token = engine.token(index, environ.get("HTTP_AUTHORIZATION", ""))
            if token is not None and (length := short_json_length(environ)):
                started = perf_counter_ns()
                if (tell := environ.get(AUTHENTICATED)) is not None:
                    tell(token.tenant)
                permit = engine.admit(token, index)
                if permit < 0:
                    error = self._shed(op, token.tenant, permit, perf_counter_ns() - started)
                    return self._refuse(environ, start_response, error, corr_id)
                try:
                    taken = environ["wsgi.input"].read(length)
                except BaseException:
                    engine.release(permit)
                    raise
                run = engine.verify if index else engine.sign
                cert, peer = environ.get(CLIENT_CERT, ""), environ.get(PEER, "")
                declined = run(token, permit, taken, corr_id, cert, peer, started)
                if type(declined) is bytes:
                    return _answer(start_response, declined, corr_id)
                environ["wsgi.input"] = BytesIO(taken)
        _bind(corr_id=corr_id)
        try:
            incoming = Incoming(environ, _NO_PARAMS, action)
            answer = self._perform(bearer(environ), op, corr_id, work, incoming)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it becomes a problem, and is logged
            return self._refuse(environ, start_response, error, corr_id)
        self._arena.count(_OK_COUNTER)
        if hot_path is not None:
            if token is None or declined == UNKNOWN_KEY:
                hot_path.learn(op, bearer(environ), taken)
            if taken is not None and declined in (UNKNOWN_KEY, UNKNOWN_GRANT):
                hot_path.learn_grant(op, bearer(environ), taken, incoming.client_cert, incoming.source)
        return _answer(start_response, answer.body, corr_id)

    def _refuse(
        self, environ: Environ, start_response: StartResponse, error: Exception, corr_id: str
    ) -> Iterable[bytes]:
        problem = self._problems.answer(error, corr_id)
        self._arena.count(http_counter(problem.status))
        headers = [
            _PROBLEM_TYPE,
            ("Content-Length", str(len(problem.body))),
            (CORR_ID_HEADER, corr_id),
            *SECURITY,
            *problem.headers,
        ]
        if leaves_body(environ):
            headers.append(CLOSE)
        start_response(STATUS_LINE[problem.status], headers)
        return (problem.body,)


def _answer(start_response: StartResponse, body: bytes, corr_id: str) -> Iterable[bytes]:
    start_response(
        _OK, [_JSON_TYPE, ("Content-Length", str(len(body))), (CORR_ID_HEADER, corr_id), *SECURITY]
    )
    return (body,)
