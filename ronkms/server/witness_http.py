"""The witness over HTTP: ``POST /add-checkpoint`` (C2SP tlog-witness)."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse

import structlog
from waitress import serve

from ronkms.audit.witness import MAX_REQUEST, Witness, WitnessRefusal
from ronkms.config.address import Address

_log = structlog.get_logger()


class WitnessHttp:
    """A WSGI application."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """PEP 3333."""
        kind = "text/plain; charset=utf-8"
        try:
            status, answer = 200, self._answer(environ)
        except WitnessRefusal as refusal:
            _log.warning("witness_refused", status=refusal.status, reason=str(refusal))
            status, answer = refusal.status, f"{refusal}\n"
            if refusal.size is not None:
                kind, answer = "text/x.tlog.size", f"{refusal.size}\n"
        except OSError as error:
            _log.error("witness_cannot_remember", error=str(error))
            status, answer = 503, "the checkpoint cannot be remembered\n"
        body = answer.encode()
        headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return (body,)

    def _answer(self, environ: dict[str, Any]) -> str:
        if environ["PATH_INFO"] != "/add-checkpoint":
            raise WitnessRefusal(404, "there is /add-checkpoint alone")
        if environ["REQUEST_METHOD"] != "POST":
            raise WitnessRefusal(405, "POST a checkpoint")
        return self._witness.add_checkpoint(environ["wsgi.input"].read(MAX_REQUEST))


def serve_witness(witness: Witness, address: Address) -> None:
    """Serves until SIGTERM or SIGINT."""
    serve(
        WitnessHttp(witness),
        host=address.host,
        port=address.port,
        threads=2,
        ident=None,
        max_request_body_size=MAX_REQUEST,
    )
