"""The WSGI entry: correlation id first, then sign and verify at once, everything else through the router.

The two hot routes run the same handlers as all others and give the same answers; what they are spared is
Falcon's request, response and routing, some tens of microseconds a request.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final
from wsgiref.types import StartResponse

import falcon
import structlog
from ronkms_native import Arena

from ronkms.api.answer import JSON
from ronkms.api.context import Context
from ronkms.api.headers import CLOSE, SECURITY
from ronkms.api.headers import CORR_ID as CORR_ID_HEADER
from ronkms.api.incoming import CORR_ID, Environ, Incoming, bearer, correlation_id, leaves_body
from ronkms.api.problem import CONTENT_TYPE, STATUS_LINE
from ronkms.api.routes import HOT, ROUTES
from ronkms.domain.measure import http_counter

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
        self._arena = arena
        self._hot = {
            route.path: (route.op, partial(route.handler, context)) for route in ROUTES if route.name in HOT
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """PEP 3333."""
        corr_id = correlation_id(environ)
        _bind(corr_id=corr_id)
        hot = self._hot.get(environ["PATH_INFO"])
        if hot is None or environ["REQUEST_METHOD"] != "POST":
            environ[CORR_ID] = corr_id
            body: Iterable[bytes] = self._router(environ, start_response)
            return body
        op, work = hot
        try:
            answer = self._perform(bearer(environ), op, corr_id, work, Incoming(environ, _NO_PARAMS))
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it becomes a problem, and is logged
            return self._refuse(environ, start_response, error, corr_id)
        self._arena.count(_OK_COUNTER)
        start_response(
            _OK,
            [
                _JSON_TYPE,
                ("Content-Length", str(len(answer.body))),
                (CORR_ID_HEADER, corr_id),
                *SECURITY,
            ],
        )
        return (answer.body,)

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
