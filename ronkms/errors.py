"""The one error tree of ron-kms.

Every error that may leave a module is a :class:`KmsError`. ``code`` is stable public API (DESIGN 4);
``api/problem.py`` alone knows which HTTP status a code has. Messages tell the caller or the operator
what to do and never hold a secret.
"""

from __future__ import annotations

from typing import ClassVar, Final

DENIED: Final = "the capability does not grant this; the audit log has the reason"
"""See :class:`Denied`."""
NO_DECISION: Final = "the external policy gives no decision now; try again later"
"""See :class:`PolicyUnavailable`."""


class KmsError(Exception):
    """Base of all errors. ``code`` names the problem for machines, ``str(error)`` for people."""

    code: ClassVar[str] = "internal"


class RequestError(KmsError):
    """The caller can mend the request."""


class BadRequest(RequestError):
    """Malformed, or not possible for this key; ``field`` is a JSON pointer to the cause if known."""

    code = "bad_request"

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Unauthenticated(RequestError):
    """No token, or one that is damaged, expired, revoked or of an unknown root. ``reason`` is not for the
    caller."""

    code = "unauthenticated"

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message


class Denied(RequestError):
    """A valid token that does not grant this. Its holder gets one message for every cause, so that nothing
    is learnt from it; ``reason`` names the cause, for the audit log, and if ``to_admin`` for the holder."""

    code = "denied"

    def __init__(self, message: str = DENIED, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message
        self.to_admin = False


class NotFound(RequestError):
    """No such key, version or route in the caller's tenant."""

    code = "not_found"


class MethodNotAllowed(RequestError):
    """The route exists with other methods; ``allowed`` lists them."""

    code = "method_not_allowed"

    def __init__(self, message: str, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allowed = allowed


class UnsupportedMediaType(RequestError):
    """The body is not ``application/json``."""

    code = "unsupported_media_type"


class Conflict(RequestError):
    """The key exists already, or its state does not allow the change."""

    code = "conflict"


class KeyDisabled(RequestError):
    """The key or version is not ``enabled``."""

    code = "key_disabled"


class KeyExhausted(RequestError):
    """The version has done the ``max_operations`` of its key's policy."""

    code = "key_exhausted"


class TooLarge(RequestError):
    """A body, message or batch beyond its limit."""

    code = "too_large"


class PqPolicyRejected(RequestError):
    """The tenant's post-quantum policy excludes the algorithm."""

    code = "pq_policy"


class Unavailable(KmsError):
    """The service cannot do it now; ``retry_after`` in whole seconds, at least 1."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TenantOverShare(Unavailable):
    """This tenant uses more than its share while others wait."""

    code = "tenant_over_share"


class Saturated(Unavailable):
    """All capacity is in use, or the service is draining."""

    code = "saturated"


class AttestationRequired(Unavailable):
    """Signing needs an attestation that does not hold."""

    code = "attestation_required"


class BackendUnavailable(Unavailable):
    """Custody cannot use the key: backend down, or its record is damaged."""

    code = "backend_unavailable"


class PolicyUnavailable(Unavailable):
    """The external policy gives no decision, and the class of the operation fails closed. ``fault`` names the
    kind, ``reason`` the cause, for the audit log and the operator alone."""

    code = "policy_unavailable"

    def __init__(
        self, message: str = NO_DECISION, retry_after: int = 1, *, fault: str = "", reason: str = ""
    ) -> None:
        super().__init__(message, retry_after)
        self.fault = fault
        self.reason = reason


class AuditUnavailable(Unavailable):
    """The audit log cannot be written, so nothing that must be audited is done."""

    code = "audit_unavailable"


class StartError(KmsError):
    """The service must not start; the message is the one line that the operator reads."""

    code = "start"


class ConfigError(StartError):
    """An unknown key, a bad value or a contradiction in the configuration."""

    code = "config"


class IntegrityError(StartError):
    """What is on disk is not what was written: damaged, swapped or rolled back."""

    code = "integrity"
