"""The operations behind the admin socket. Who may ask was decided before (``admin_socket``).

An operation that changes something writes an audit intent first, on disk, and its outcome before the
answer; both name the number of the change that was next, so that the next start can tell what a crash left
(``service.admin_recovery``). One that reads, or changes nothing that lasts, writes one record. ``status``,
``audit.head`` and ``audit.sinks`` write none, so that a server without a writable audit log still answers
them.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from itertools import islice
from threading import Lock
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from ronkms_native import Arena

from ronkms import __version__
from ronkms.capability.attenuate import Attenuation
from ronkms.capability.mint import CapabilityMint
from ronkms.capability.registry import CapabilityRegistry
from ronkms.config.render import render_toml
from ronkms.config.settings import Settings
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import BadRequest, KmsError, NotFound, RequestError
from ronkms.server import admin_external_policy_messages as external_messages
from ronkms.server import admin_messages as messages
from ronkms.server import admin_policy_messages as policy_messages
from ronkms.server.admin_audit import AuditAdmin, AuditTrailWithHead
from ronkms.server.admin_explanation import ExplainOperation, ExplanationContext
from ronkms.server.admin_external_policy import ExternalPolicyAdmin, NoExternalPolicy
from ronkms.server.admin_policy import PolicyContext, PolicyOperations
from ronkms.server.admin_sinks import SinkOperations, SinkStates

MAX_LISTED: Final = 500
_UNBOUND: Final = "cap_bind_required is on: the API refuses this token until cap attenuate has bound it"


class AdminContext(ExplanationContext, PolicyContext, Protocol):
    """What the operations need of ``ronkms.app.Application``."""

    @property
    def settings(self) -> Settings: ...
    @property
    def arena(self) -> Arena: ...
    @property
    def audit(self) -> AuditTrailWithHead: ...
    @property
    def sink_board(self) -> SinkStates: ...
    @property
    def capability_registry(self) -> CapabilityRegistry: ...

    def missing(self) -> list[str]: ...


class _Operation(NamedTuple):
    arguments: type[msgspec.Struct]
    run: Callable[[Any], msgspec.Struct]
    changes: Callable[[], int] | None = None
    """Number of the last change, of an operation that makes one: it has an intent and an outcome."""
    audited: bool = True


class AdminOperations:
    """Runs one request at a time for a peer whose identity is known, and the chore on the policy."""

    def __init__(
        self,
        context: AdminContext,
        mint: CapabilityMint,
        audit: AuditAdmin,
        external: ExternalPolicyAdmin | NoExternalPolicy,
    ) -> None:
        self._context = context
        self._mint = mint
        self._policy = policy = PolicyOperations(context)
        self._one_at_a_time = Lock()
        caps, policies = context.capability_registry.settled, policy.last_entry
        sinks = SinkOperations(context)
        self._operations = {
            "status": _Operation(messages.NoArguments, self._status, audited=False),
            "audit.head": _Operation(messages.NoArguments, audit.head, audited=False),
            "audit.rotate": _Operation(messages.NoArguments, audit.rotate, changes=audit.last_key_set),
            "audit.rotate-digest-key": _Operation(
                messages.NoArguments, audit.rotate_digest_key, changes=audit.last_digest_epoch
            ),
            "audit.destroy-digest-key": _Operation(
                messages.EpochArguments, audit.destroy_digest_key, changes=audit.last_digest_epoch
            ),
            "audit.digest-keys": _Operation(messages.NoArguments, audit.digest_keys),
            "audit.digest": _Operation(messages.DigestArguments, audit.digest),
            "audit.sinks": _Operation(messages.NoArguments, sinks.show, audited=False),
            "audit.sinks.test": _Operation(messages.SinkArguments, sinks.test, changes=_unnumbered),
            "config.get": _Operation(messages.NoArguments, self._config),
            "cap.mint": _Operation(messages.MintArguments, self._mint_token, changes=caps),
            "cap.explain": _Operation(messages.ExplainArguments, ExplainOperation(context, external).explain),
            "cap.revoke": _Operation(messages.RevokeArguments, self._revoke, changes=caps),
            "cap.revoked": _Operation(messages.NoArguments, self._revoked),
            "cap.roots": _Operation(messages.NoArguments, self._roots),
            "cap.rotate": _Operation(messages.RotateArguments, self._rotate, changes=caps),
            "cap.withdraw": _Operation(messages.WithdrawArguments, self._withdraw, changes=caps),
            "policy.inspect": _Operation(policy_messages.InspectArguments, policy.inspect),
            "policy.set": _Operation(policy_messages.SetArguments, policy.set, changes=policies),
            "policy.unset": _Operation(policy_messages.UnsetArguments, policy.unset, changes=policies),
            "policy.lock": _Operation(policy_messages.LockArguments, policy.lock, changes=policies),
            "policy.except": _Operation(
                policy_messages.ExceptArguments, policy.make_exception, changes=policies
            ),
            "policy.end": _Operation(policy_messages.EndArguments, policy.end, changes=policies),
            "policy.external": _Operation(external_messages.ExternalArguments, external.show),
            "policy.external.flush": _Operation(messages.NoArguments, external.flush),
            "cache.sweep": _Operation(messages.SweepArguments, self._sweep),
        }

    def run(self, uid: int, request: messages.Request) -> msgspec.Struct:
        """The result. Raises :class:`KmsError`: malformed, refused, or not possible now."""
        with self._one_at_a_time:
            return self._run(uid, request)

    def undisturbed(self, work: Callable[[], object]) -> None:
        """Runs ``work`` while no operation runs. What it raises is raised."""
        with self._one_at_a_time:
            work()

    def end_expired(self) -> None:
        """The chore (``PolicyOperations.end_expired``)."""
        with self._one_at_a_time:
            self._policy.end_expired()

    def _run(self, uid: int, request: messages.Request) -> msgspec.Struct:
        operation = self._operations.get(request.op)
        if operation is None:
            raise NotFound(f"no admin operation {request.op}; this server has {', '.join(self._operations)}")
        try:
            arguments = msgspec.json.decode(request.args, type=operation.arguments)
        except msgspec.MsgspecError as error:
            raise BadRequest(f"{request.op}: {error}") from None
        if not operation.audited:
            return operation.run(arguments)
        record = _Record(self._context.audit, uid, request, arguments)
        phase = ""
        if operation.changes is not None:
            try:
                record.entry = operation.changes() + 1
            except KmsError as error:
                record.write(Outcome.ERROR, code=error.code, phase="")
                raise
            record.write(Outcome.OK, phase="intent")
            phase = "outcome"
        try:
            result = operation.run(arguments)
        except KmsError as error:
            outcome = Outcome.REJECTED if isinstance(error, RequestError) else Outcome.ERROR
            record.write(outcome, code=error.code, phase=phase)
            raise
        record.write(Outcome.OK, phase=phase, result=result)
        return result

    def _status(self, _: messages.NoArguments) -> messages.Status:
        settings = self._context.settings
        self._context.capability_registry.refresh()
        return messages.Status(
            version=__version__,
            pid=os.getppid(),
            api=settings.api_addr,
            metrics=settings.metrics_addr,
            tls=settings.tls,
            missing=self._context.missing(),
            capability_root=self._context.capability_registry.state.newest,
        )

    def _config(self, _: messages.NoArguments) -> messages.ConfigText:
        return messages.ConfigText(render_toml(self._context.settings))

    def _mint_token(self, arguments: messages.MintArguments) -> messages.MintedToken:
        rights = [(operation, key) for operation in arguments.ops for key in arguments.keys]
        narrowing = Attenuation(
            algs=tuple(arguments.algs),
            digests=tuple(arguments.digests),
            client_certs=tuple(arguments.client_certs),
            not_before=arguments.not_before,
            deadline=arguments.deadline,
            max_delegations=arguments.max_delegations,
        )
        minted = self._mint.mint(arguments.tenant, rights, arguments.ttl, narrowing)
        unbound = self._context.settings.cap_bind_required and not arguments.client_certs
        return messages.MintedToken(*minted, notice=_UNBOUND if unbound else "")

    def _revoke(self, arguments: messages.RevokeArguments) -> messages.RevokedBlock:
        revoked = self._mint.revoke(arguments.id)
        return messages.RevokedBlock(revoked, self._context.capability_registry.state.revoked[revoked].at)

    def _revoked(self, _: messages.NoArguments) -> messages.RevokedBlocks:
        self._context.capability_registry.refresh()
        revoked = self._context.capability_registry.state.revoked
        newest = islice(reversed(revoked.values()), MAX_LISTED)
        return messages.RevokedBlocks(len(revoked), [messages.RevokedBlock(one.id, one.at) for one in newest])

    def _roots(self, _: messages.NoArguments) -> messages.CapabilityRoots:
        self._context.capability_registry.refresh()
        roots = self._context.capability_registry.state.roots.values()
        return messages.CapabilityRoots(
            [
                messages.CapabilityRoot(root.number, root.public.hex(), root.created_at, root.until)
                for root in roots
            ]
        )

    def _rotate(self, arguments: messages.RotateArguments) -> messages.RootNumber:
        return messages.RootNumber(self._mint.rotate(arguments.overlap))

    def _withdraw(self, arguments: messages.WithdrawArguments) -> messages.RootNumber:
        self._mint.withdraw(arguments.root)
        return messages.RootNumber(arguments.root)

    def _sweep(self, arguments: messages.SweepArguments) -> messages.Swept:
        return messages.Swept(self._context.arena.cache_sweep(arguments.all))


def _unnumbered() -> int:
    """Of an operation whose records are all that it leaves."""
    return -1


class _Record:
    """The audit records of one request."""

    def __init__(
        self, audit: AuditTrailWithHead, uid: int, request: messages.Request, arguments: msgspec.Struct
    ) -> None:
        self._audit = audit
        self._principal = f"uid:{uid}"
        self._corr_id = request.corr_id or secrets.token_hex(16)
        self._op = request.op
        self.entry = 0
        """Number of the change that is next; 0 for an operation that makes none."""
        self._arguments = arguments.for_audit() if isinstance(arguments, messages.WithSecrets) else arguments

    def write(
        self, outcome: Outcome, *, phase: str, code: str = "", result: msgspec.Struct | None = None
    ) -> None:
        """Raises AuditUnavailable."""
        arguments = self._arguments
        words = [self._op]
        if self.entry:
            words.append(f"entry={self.entry}")
        if isinstance(result, messages.AuditKeys):
            words.append(f"ids={','.join(key.split('+')[1] for key in result.keys)}")
        else:
            if isinstance(result, messages.MintedToken):
                words.append(f"token_id={result.token_id}")
            words.append(msgspec.json.encode(arguments).decode())
        self._audit.record(
            op=Operation.ADMIN,
            outcome=outcome,
            tenant=getattr(arguments, "tenant", ""),
            token_id=self._principal,
            corr_id=self._corr_id,
            code=code,
            detail=" ".join(words),
            phase=phase,
        )
