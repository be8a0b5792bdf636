"""Requests to the service's WSGI application in this process, without sockets: what the gate times of it.

The application is composed as a worker has it, with its store, audit log and native engine. Left out are
gunicorn, the kernel's network and the load generator, whose cost depends on what else the machine does.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import falcon.testing

from bench import bare
from bench.interleave import Operation, interleave, one_core
from bench.load import Request
from bench.scenarios import RECURRING, SIGN, VERIFY, WRAP, body, random_message
from ronkms.app import Application
from ronkms.capability.mint import CapabilityMint
from ronkms.config import load_settings
from ronkms.domain.operation import ADMISSION_SIGN
from ronkms.domain.operation import Operation as Permitted

TENANT = "bench"
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


@contextmanager
def wsgi_operations() -> Iterator[dict[str, Operation]]:
    """By name: one request each, and ``bare Falcon``, the same kind of POST to ``bench.bare``."""
    with composed() as (application, token):
        yield _operations(application.wsgi, token)


@contextmanager
def composed() -> Iterator[tuple[Application, str]]:
    """The application of a worker, and a token with all rights for ``TENANT``."""
    with tempfile.TemporaryDirectory() as directory:
        application = Application(load_settings({"KMS_DATA_DIR": str(Path(directory, "data"))}, dev=True))
        try:
            mint = CapabilityMint(application.capability_registry, application.custody)
            mint.ensure_root()
            token = mint.mint(TENANT, [(permitted, "*") for permitted in Permitted], 3600).token
            application.arena.enter_slot(application.arena.claim_slot())
            application.after_fork("worker")
            yield application, token
        finally:
            application.close()


def _operations(service: Wsgi, token: str) -> dict[str, Operation]:
    for key_id, alg, usage in (("ed", "Ed25519", "sign"), ("wrap", "AES-256-GCM", "wrap")):
        create = body(key_id=key_id, alg=alg, usage=usage)
        answer(service, Request("/v1/kms/keys", token, create), "201 Created")
    sign = [Request(SIGN, token, body(key_id="ed", message=random_message())) for _ in range(RECURRING)]
    wrap = [Request(WRAP, token, body(key_id="wrap", plaintext=random_message())) for _ in range(RECURRING)]
    verify = [_verification(service, request) for request in sign]
    unknown = [Request(SIGN, "not-a-token", request.body) for request in sign]
    return {
        "sign Ed25519": requests(service, sign, "200 OK"),
        "verify hit": requests(service, verify, "200 OK"),
        "wrap": requests(service, wrap, "200 OK"),
        "401": requests(service, unknown, "401 Unauthorized"),
        "bare Falcon": requests(bare.app, sign, "200 OK"),
    }


def refusal_cost() -> dict[str, float]:
    """Processor microseconds of a request that is not admitted and of a bare Falcon POST, without sockets.

    The request is a known token's that meets a full class, so a 503; a 429 takes the same way."""
    with composed() as (application, token), one_core():
        arena = application.arena
        create = body(key_id="ed", alg="Ed25519", usage="sign")
        answer(application.wsgi, Request("/v1/kms/keys", token, create), "201 Created")
        sign = [Request(SIGN, token, body(key_id="ed", message=random_message())) for _ in range(RECURRING)]
        requests(application.wsgi, sign, "200 OK")(RECURRING)
        held = []
        while (permit := arena.admit(ADMISSION_SIGN, TENANT.encode(), 1)) >= 0:
            held.append(permit)
        refused = requests(application.wsgi, sign, "503 Service Unavailable")
        samples = interleave(
            {"refused": refused, "bare": requests(bare.app, sign, "200 OK")}, rounds=5, seconds=0.1
        )
        for permit in held:
            arena.release(permit)
    return {
        "refusal_us": round(1e6 / samples.rate("refused"), 1),
        "bare_falcon_us": round(1e6 / samples.rate("bare"), 1),
    }


def _verification(service: Wsgi, request: Request) -> Request:
    """The verification of what ``request`` signs."""
    members = json.loads(request.body)
    signed = json.loads(answer(service, request, "200 OK"))
    return Request(VERIFY, request.token, body(**members, signature=signed["signature"]))


def requests(application: Wsgi, sent: Sequence[Request], status: str) -> Operation:
    """Sends ``sent`` in turn. Raises RuntimeError for another status."""
    prepared = [(_environ(request), request.body) for request in sent]

    def run(count: int) -> None:
        for environ, content in islice(cycle(prepared), count):
            _send(application, environ, content, status)

    return run


def answer(application: Wsgi, request: Request, status: str) -> bytes:
    """The body of one answer. Raises RuntimeError for another status."""
    return _send(application, _environ(request), request.body, status)


def _send(application: Wsgi, environ: dict[str, Any], content: bytes, status: str) -> bytes:
    got: list[str] = []
    sent = application(environ | {"wsgi.input": BytesIO(content)}, lambda line, *_: got.append(line))
    whole = b"".join(sent)
    if got != [status]:
        raise RuntimeError(f"{environ['PATH_INFO']}: {got} instead of {status}: {whole[:200]!r}")
    return whole


def _environ(request: Request) -> dict[str, Any]:
    """As gunicorn gives it, but for the input."""
    made: dict[str, Any] = falcon.testing.create_environ(
        request.path,
        method="POST",
        body=request.body,
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {request.token}"},
    )
    return made
