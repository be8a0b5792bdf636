"""Errors as answers: the one place that knows which HTTP status a code has."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec
import structlog
from msgspec import UNSET
from ronkms_native import Arena

from ronkms.api.schemas import ItemError, Problem
from ronkms.domain.measure import COUNTER_INDEX
from ronkms.errors import DENIED, BadRequest, Denied, KmsError, MethodNotAllowed, Unavailable

STATUS: Final = {
    "bad_request": 400,
    "unauthenticated": 401,
    "denied": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "key_disabled": 409,
    "key_exhausted": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "pq_policy": 422,
    "tenant_over_share": 429,
    "saturated": 503,
    "attestation_required": 503,
    "backend_unavailable": 503,
    "policy_unavailable": 503,
    "audit_unavailable": 503,
    "internal": 500,
}
"""HTTP status of each ``KmsError.code``; a code that is not here is a fault of the service: 500."""

_TITLE: Final = {
    "bad_request": "Malformed request",
    "unauthenticated": "No valid capability",
    "denied": "The capability does not grant this",
    "not_found": "Not found",
    "method_not_allowed": "Method not allowed",
    "conflict": "Conflict with the state of the key",
    "key_disabled": "The key is not enabled",
    "key_exhausted": "The key version has no operations left",
    "too_large": "Too large",
    "unsupported_media_type": "Unsupported media type",
    "pq_policy": "Excluded by the post-quantum policy",
    "tenant_over_share": "The tenant is over its share",
    "saturated": "No capacity left",
    "attestation_required": "Attestation required",
    "backend_unavailable": "Backend unavailable",
    "policy_unavailable": "External policy unavailable",
    "audit_unavailable": "Audit log unavailable",
    "internal": "Internal error",
}

_REJECTED: Final = {
    code: COUNTER_INDEX[name]
    for code, name in (
        ("tenant_over_share", "rejected_total|backpressure"),
        ("saturated", "rejected_total|backpressure"),
        ("unauthenticated", "rejected_total|unauthenticated"),
        ("denied", "rejected_total|denied"),
        ("bad_request", "rejected_total|malformed"),
        ("unsupported_media_type", "rejected_total|malformed"),
        ("too_large", "rejected_total|too_large"),
        ("pq_policy", "kms_reject_total|pq_policy"),
    )
}
_PQ_POLICY: Final = COUNTER_INDEX["kms_reject_total|pq_policy"]

CONTENT_TYPE: Final = "application/problem+json"
STATUS_LINE: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}

_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger()


class ProblemAnswer(msgspec.Struct, frozen=True):
    """``headers`` are those that only errors have."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Problems:
    """Turns errors into answers, and counts them."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena

    def answer(self, error: Exception, corr_id: str) -> ProblemAnswer:
        """What the caller gets to see. An error that is no KmsError is logged, and shown as ``internal``."""
        code = self._code(error, corr_id)
        counter = _REJECTED.get(code)
        if counter is not None:
            self._arena.count(counter)
        status = STATUS[code]
        body = Problem(
            type=f"urn:ron-kms:problem:{code}",
            title=_TITLE[code],
            status=status,
            detail=_detail(error, code),
            code=code,
            corr_id=corr_id,
            field=_field(error),
            reason=_reason(error),
        )
        return ProblemAnswer(status, _headers(error, code), _encode(body))

    def item(self, error: KmsError, corr_id: str) -> tuple[int, ItemError]:
        """(status, error) of one item of a batch."""
        code = self._code(error, corr_id)
        if code == "pq_policy":
            self._arena.count(_PQ_POLICY)
        return STATUS[code], ItemError(code=code, detail=_detail(error, code), reason=_reason(error))

    def _code(self, error: Exception, corr_id: str) -> str:
        if isinstance(error, KmsError) and error.code in STATUS:
            return error.code
        _log.error("request_failed", corr_id=corr_id, exc_info=error)
        return "internal"


def _detail(error: Exception, code: str) -> str:
    if code == "denied":
        return DENIED  # whatever was raised
    return "unexpected error; its cause is in the log" if code == "internal" else str(error)


def _field(error: Exception) -> str | msgspec.UnsetType:
    return error.field if isinstance(error, BadRequest) and error.field else UNSET


def _reason(error: Exception) -> str | msgspec.UnsetType:
    return error.reason if isinstance(error, Denied) and error.to_admin else UNSET


def _headers(error: Exception, code: str) -> list[tuple[str, str]]:
    if isinstance(error, Unavailable):
        return [("Retry-After", str(error.retry_after))]
    if code == "unauthenticated":
        return [("WWW-Authenticate", "Bearer")]
    if isinstance(error, MethodNotAllowed):
        return [("Allow", ", ".join(error.allowed))]
    return []
