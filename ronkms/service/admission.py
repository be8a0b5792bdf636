"""The gate of every request: authenticated, allowed at all, admitted; recorded and counted at its end.

The first three read nothing but the token and the operation, so a 401, 403, 429 or 503 costs no body and
no cryptography. What passed the first is one audit record, whatever its outcome; shed requests are counted
only, so that a flood cannot fill the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Final, Protocol, TypeVar

from ronkms_native import Arena

from ronkms.audit.digest_keys import NO_DIGEST
from ronkms.audit.protocol import AuditTrail
from ronkms.capability.protocol import UNBOUND, CapabilityVerifier
from ronkms.domain.measure import ALG_INDEX, NO_ALG, OP_INDEX, OUTCOME_INDEX, VERIFY_MISS
from ronkms.domain.operation import ADMISSION_SIGN, ADMISSION_VERIFY, Operation, Outcome
from ronkms.errors import (
    AuditUnavailable,
    BackendUnavailable,
    Denied,
    KmsError,
    PolicyUnavailable,
    RequestError,
    Saturated,
    TenantOverShare,
    Unauthenticated,
)
from ronkms.service.call import Call
from ronkms.service.external_policy import ExternalPolicy


class Asked(Protocol):
    """A request as ``work`` takes it."""

    @property
    def client_cert(self) -> str:
        """SHA-256 of the connection's client certificate, lower-case hex; empty for none."""

    @property
    def source(self) -> str:
        """Address of the peer of the connection; empty if unknown."""

    @property
    def action(self) -> str:
        """``operationId`` of the API."""

    def authenticated(self, tenant: bytes) -> None:
        """Called once, as soon as the tenant is known."""


_Argument = TypeVar("_Argument", bound=Asked)
_Answer = TypeVar("_Answer")

_PUBLIC: Final = frozenset({Operation.VERIFY, Operation.READ})
"""Operations that use no private key and change nothing: all that a verify-only server does."""

_RETRY_AFTER_SECONDS: Final = 1


class Gate:
    """Admits and closes calls. Shared by all threads of a worker; holds no state of its own."""

    def __init__(
        self,
        *,
        arena: Arena,
        capabilities: CapabilityVerifier,
        audit: AuditTrail,
        verify_only: bool,
        bind_required: bool = False,
        external: ExternalPolicy | None = None,
    ) -> None:
        self._arena = arena
        self._capabilities = capabilities
        self._audit = audit
        self._verify_only = verify_only
        self._bind_required = bind_required
        self._external = external

    def perform(
        self,
        token: str,
        op: Operation,
        corr_id: str,
        work: Callable[[Call, _Argument], _Answer],
        argument: _Argument,
    ) -> _Answer:
        """Runs ``work`` between admission and audit, and returns its answer once that may leave.

        Raises what ``work`` raises, and Unauthenticated, Denied, Saturated, TenantOverShare,
        AuditUnavailable; BackendUnavailable for an operation that a verify-only server does not do.
        """
        started = perf_counter_ns()
        self._capabilities.refresh()
        call = Call(op, self._capabilities.authenticate(token), corr_id, argument.client_cert)
        argument.authenticated(call.tenant_bytes)
        if self._external is not None:
            call.inquiry = self._external.inquiry(call, argument.action, argument.source)
        try:
            self._audit.check_sinks()
            self._require_binding(call)
            call.capability.require_operation(op)
            self._admit(call)
            answer = work(call, argument)
        except KmsError as error:
            self._refuse(call, error)
            raise
        except BaseException:
            call.outcome = Outcome.ERROR
            self._record(call, code="internal")
            raise
        else:
            record = self._record(call)
            if call.completion is not None:
                answer = self._complete(call, call.completion, record)
        finally:
            if call.permit >= 0:
                self._arena.release(call.permit)
            self._observe(call, perf_counter_ns() - started)
        return answer

    def shed(self, op: Operation, tenant: bytes, verdict: int, nanoseconds: int) -> KmsError:
        """The error for a request that the arena did not admit before this gate was asked; counted."""
        self._arena.observe(OP_INDEX[op], ALG_INDEX[NO_ALG], OUTCOME_INDEX[Outcome.SHED], tenant, nanoseconds)
        return _shed(verdict)

    def top_up(self, call: Call, cost: int) -> None:
        """Lets the permit grow to ``cost`` units, before any cryptography.

        The arena counts a permit for a quarter of the capacity at most: a large batch could never be
        admitted otherwise. Raises Saturated, TenantOverShare.
        """
        if cost > call.cost:
            granted = self._arena.top_up(call.permit, cost - call.cost)
            if granted < 0:
                raise _shed(granted)
            call.cost = cost

    def _observe(self, call: Call, nanoseconds: int) -> None:
        alg, outcome = ALG_INDEX[call.alg or NO_ALG], OUTCOME_INDEX[call.outcome]
        self._arena.observe(OP_INDEX[call.op], alg, outcome, call.tenant_bytes, nanoseconds)
        if call.missed:
            self._arena.observe(VERIFY_MISS, alg, outcome, call.tenant_bytes, nanoseconds)

    def _require_binding(self, call: Call) -> None:
        if self._bind_required and not call.capability.bound:
            raise Denied(reason=UNBOUND)

    def _admit(self, call: Call) -> None:
        if self._verify_only and call.op not in _PUBLIC:
            raise BackendUnavailable(
                f"this server runs with KMS_VERIFY_ONLY and does not {call.op}; send the request to another",
                60,
            )
        admission = ADMISSION_VERIFY if call.op in _PUBLIC else ADMISSION_SIGN
        permit = self._arena.admit(admission, call.tenant_bytes, 1)
        if permit < 0:
            raise _shed(permit)
        call.permit = permit
        call.cost = 1

    def _refuse(self, call: Call, error: KmsError) -> None:
        if isinstance(error, Saturated | TenantOverShare):
            call.outcome = Outcome.SHED
            return
        if isinstance(error, Denied | Unauthenticated):
            call.outcome = Outcome.DENIED
            call.detail = error.reason
            if isinstance(error, Denied):
                error.to_admin = call.tells_reasons()
            if call.permit < 0 and isinstance(error, Unauthenticated):
                return
        elif isinstance(error, RequestError):
            call.outcome = Outcome.REJECTED
        else:
            call.outcome = Outcome.ERROR
            if isinstance(error, AuditUnavailable):
                return
            if isinstance(error, PolicyUnavailable):
                call.detail = f"external policy: {error.fault}: {error.reason}"
        self._record(call, code=error.code)

    def _complete(self, call: Call, completion: Callable[[int], _Answer], record: int) -> _Answer:
        """The work is done and recorded: what is waited for now holds no capacity."""
        self._arena.release(call.permit)
        call.permit = -1
        try:
            return completion(record)
        except KmsError:
            call.outcome = Outcome.ERROR
            raise

    def _record(self, call: Call, code: str = "") -> int:
        try:
            return self._audit.record(
                op=call.op,
                outcome=call.outcome,
                tenant=call.tenant,
                token_id=call.capability.token_id,
                corr_id=call.corr_id,
                key_id=call.key_id,
                key_version=call.key_version,
                alg=call.alg,
                code=code,
                digest=self._audit.input_digest(call.input) if call.input else NO_DIGEST,
                detail=call.noted,
                phase=call.phase,
                items=call.items,
                keys=call.keys,
            )
        except AuditUnavailable:
            call.outcome = Outcome.ERROR
            raise


def _shed(verdict: int) -> Saturated | TenantOverShare:
    if verdict == -2:
        return TenantOverShare("this tenant uses more than its share while others wait", _RETRY_AFTER_SECONDS)
    return Saturated("all capacity is in use", _RETRY_AFTER_SECONDS)
