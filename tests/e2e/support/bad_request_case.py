"""One row of the bad-request table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e.support.bad_request_stage import SECRET, Stage, b64

MESSAGE = b64(SECRET)


@dataclass(frozen=True)
class Case:
    """A request and the one answer that is right for it."""

    name: str
    status: int
    code: str
    raw: Callable[[Stage], bytes]
    header: tuple[str, str] | None = None
    """A header that the answer must have, with this value."""
    echoes: bool = True
    """The answer has the correlation id of the request; not so where the headers cannot be read."""


def bad(name: str, path: str, body: object, *, token: str | None = "admin", **options: Any) -> Case:
    """A 400 ``bad_request``."""
    return refused(name, 400, "bad_request", path, body, token=token, **options)


def refused(
    name: str,
    status: int,
    code: str,
    path: str,
    body: object,
    *,
    token: str | None = "admin",
    header: tuple[str, str] | None = None,
    **options: Any,
) -> Case:
    """A row whose body does not depend on the stage."""
    return Case(name, status, code, lambda stage: stage.ask(path, body, token=token, **options), header)


def signing(**members: object) -> dict[str, object]:
    """A sign body that would be fine, with ``members`` on top."""
    return {"key_id": "ed", "message": MESSAGE, **members}


def verifying(**members: object) -> dict[str, object]:
    """A verify body that would be answered with 200, with ``members`` on top."""
    return {"key_id": "ed", "message": MESSAGE, "signature": b64(bytes(64)), **members}


def inline(jwk: dict[str, object], **members: object) -> dict[str, object]:
    """A verify body with an inline key."""
    return {"public_key": jwk, "message": MESSAGE, "signature": b64(bytes(64)), **members}


def without(body: dict[str, object], name: str) -> dict[str, object]:
    """``body`` lacking one member."""
    return {key: value for key, value in body.items() if key != name}
