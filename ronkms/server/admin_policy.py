"""The admin operations ``policy.*``. Run one at a time, audited around (``admin_operations``)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final, Protocol

from ronkms.audit.protocol import AuditTrail
from ronkms.capability.possession import presented
from ronkms.capability.protocol import CapabilityVerifier
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import BadRequest, Denied, KmsError, Unauthenticated
from ronkms.policy.entry import Entry, Excepted, ExceptionEnded, Locked, ScopeSet
from ronkms.policy.registry import PolicyRegistry
from ronkms.policy.rollout import selected
from ronkms.policy.state import PolicyState
from ronkms.server import admin_policy_messages as messages

PRINCIPAL: Final = "system:policy"


class PolicyContext(Protocol):
    """What the operations need of ``ronkms.app.Application``."""

    @property
    def audit(self) -> AuditTrail: ...
    @property
    def capabilities(self) -> CapabilityVerifier: ...
    @property
    def policy_registry(self) -> PolicyRegistry: ...

    def publish(self, event: str, fields: Mapping[str, str | int]) -> None: ...


class PolicyOperations:
    """Every change is in force in all workers, and told on the bus, when it returns."""

    def __init__(self, context: PolicyContext) -> None:
        self._context = context

    @property
    def _registry(self) -> PolicyRegistry:
        return self._context.policy_registry

    def last_entry(self) -> int:
        """Number of the last entry of the journal. Raises BackendUnavailable, IntegrityError."""
        return self._registry.settled()

    def inspect(self, arguments: messages.InspectArguments) -> messages.PolicyView:
        """What holds now."""
        self._registry.refresh()
        return _view(self._registry.state, arguments.tenant, arguments.key_id)

    def set(self, arguments: messages.SetArguments) -> messages.PolicyView:
        """Raises BadRequest (nothing given), Conflict (looser than a lock), BackendUnavailable."""
        given = (arguments.verify_mode, arguments.produce_hybrid, arguments.rollout_percent)
        if given == (None, None, None):
            raise BadRequest("give a verify_mode, produce_hybrid or rollout_percent")

        def entry(state: PolicyState) -> ScopeSet:
            old = _settings(state, arguments.tenant, arguments.key_id)
            mode, produce, percent = given
            return ScopeSet(
                tenant=arguments.tenant,
                key_id=arguments.key_id,
                verify_mode=old.verify_mode if mode is None else mode,
                produce_hybrid=old.produce_hybrid if produce is None else produce,
                rollout_percent=old.rollout_percent if percent is None else percent,
                at=state.now(),
            )

        self._registry.change(entry)
        return self._changed("set", arguments.tenant, arguments.key_id)

    def unset(self, arguments: messages.UnsetArguments) -> messages.PolicyView:
        """Raises Conflict (looser than a lock), BackendUnavailable."""

        def entry(state: PolicyState) -> ScopeSet:
            old = _settings(state, arguments.tenant, arguments.key_id)
            return ScopeSet(
                tenant=arguments.tenant,
                key_id=arguments.key_id,
                verify_mode=None if arguments.verify_mode else old.verify_mode,
                produce_hybrid=None if arguments.produce_hybrid else old.produce_hybrid,
                rollout_percent=None if arguments.rollout_percent else old.rollout_percent,
                at=state.now(),
            )

        self._registry.change(entry)
        return self._changed("unset", arguments.tenant, arguments.key_id)

    def lock(self, arguments: messages.LockArguments) -> messages.PolicyView:
        """Locks at what holds now without exceptions. Again: no change. Raises BackendUnavailable."""

        def entry(state: PolicyState) -> Locked:
            floor = state.standing(arguments.tenant, arguments.key_id)
            return Locked(
                tenant=arguments.tenant,
                key_id=arguments.key_id,
                verify_mode=floor.mode,
                classical_excluded=floor.classical_excluded,
                at=state.now(),
            )

        self._registry.change(entry)
        return self._changed("lock", arguments.tenant, arguments.key_id)

    def make_exception(self, arguments: messages.ExceptArguments) -> messages.PolicyView:
        """Raises Denied, Unauthenticated (the capabilities), Conflict, BadRequest, BackendUnavailable."""
        requester = self._admin_token("requester", arguments.requester_token, arguments)
        approver = self._admin_token("approver", arguments.approver_token, arguments)
        if requester == approver:
            raise Denied("an exception takes the admin capabilities of two people; these are one token's")
        self._registry.change(
            lambda state: Excepted(
                tenant=arguments.tenant,
                key_id=arguments.key_id,
                name=arguments.name,
                reason=arguments.reason,
                verify_mode=arguments.verify_mode,
                expires_at=state.now() + arguments.ttl,
                requested_by=requester,
                approved_by=approver,
                at=state.now(),
            )
        )
        return self._changed("except", arguments.tenant, arguments.key_id)

    def end(self, arguments: messages.EndArguments) -> messages.PolicyView:
        """Ends an exception early. Raises Conflict, BackendUnavailable."""
        self._registry.change(lambda state: _end(state, arguments.tenant, arguments.key_id, arguments.name))
        return self._changed("end", arguments.tenant, arguments.key_id)

    def end_expired(self) -> None:
        """The chore: takes exceptions whose time has passed off the books. No worker waits for it, each
        looks at the clock itself. Raises AuditUnavailable, BackendUnavailable."""
        self._registry.refresh()
        for one in self._registry.state.expired():
            record = partial(self._record, one, self.last_entry() + 1)
            record("intent", Outcome.OK)
            try:
                self._registry.change(lambda state, one=one: _end(state, one.tenant, one.key_id, one.name))  # type: ignore[misc]
            except KmsError as error:
                record("outcome", Outcome.ERROR, error.code)
                raise
            record("outcome", Outcome.OK)
            self._changed("end", one.tenant, one.key_id)

    def _admin_token(self, role: str, given: str, arguments: messages.ExceptArguments) -> str:
        """The token's id. Who asks over this socket operates the server and is told why not."""
        try:
            return self._approval(given, arguments)
        except Denied as error:
            raise Denied(f"the {role}'s capability: {error.reason}") from None
        except Unauthenticated as error:
            raise Unauthenticated(f"the {role}'s capability: {error.reason}") from None

    def _approval(self, given: str, arguments: messages.ExceptArguments) -> str:
        now = self._registry.state.now()
        token, client_cert = presented(given, statement=arguments.statement(), now=now)
        capability = self._context.capabilities.authenticate(token)
        if capability.tenant != arguments.tenant:
            raise Denied(f"is for tenant {capability.tenant} and approves nothing for {arguments.tenant}")
        if capability.bound and not client_cert:
            raise Denied("is bound to a client certificate: give what ronctl policy approve makes of it")
        capability.require(Operation.ADMIN, key_id=arguments.key_id or "*", client_cert=client_cert)
        return capability.token_id

    def _record(self, one: Excepted, entry: int, phase: str, outcome: Outcome, code: str = "") -> None:
        self._context.audit.record(
            op=Operation.ADMIN,
            outcome=outcome,
            tenant=one.tenant,
            token_id=PRINCIPAL,
            corr_id=PRINCIPAL,
            code=code,
            detail=f"policy.end entry={entry} name={one.name} key_id={one.key_id} reason=expired",
            phase=phase,
        )

    def _changed(self, change: str, tenant: str, key_id: str) -> messages.PolicyView:
        view = _view(self._registry.state, tenant, key_id)
        self._context.publish(
            "PolicyChanged",
            {
                "change": change,
                "tenant": tenant,
                "key_id": key_id,
                "verify_mode": view.verify_mode.value,
                "produce_hybrid": "true" if view.produce_hybrid else "false",
                "rollout_percent": view.rollout_percent,
            },
        )
        return view


def _settings(state: PolicyState, tenant: str, key_id: str) -> ScopeSet:
    return state.tenant(tenant).settings.get(key_id) or ScopeSet(tenant=tenant, key_id=key_id, at=0)


def _end(state: PolicyState, tenant: str, key_id: str, name: str) -> Entry:
    return ExceptionEnded(tenant=tenant, key_id=key_id, name=name, at=state.now())


def _view(state: PolicyState, tenant: str, key_id: str) -> messages.PolicyView:
    decision = state.decide(tenant, key_id)
    scopes = [("", "tenant"), (key_id, "key")] if key_id else [("", "tenant")]
    floors = state.tenant(tenant).floors
    exceptions = [(source, state.active(tenant, scope)) for scope, source in scopes]
    return messages.PolicyView(
        tenant=tenant,
        key_id=key_id,
        verify_mode=decision.mode,
        verify_mode_source=state.source(tenant, key_id, "verify_mode"),
        classical_excluded=decision.accept.classical_excluded,
        configured_verify_mode=state.configured_mode(tenant, key_id),
        produce_hybrid=decision.produce_hybrid,
        produce_hybrid_source=state.source(tenant, key_id, "produce_hybrid"),
        rollout_percent=decision.rollout_percent,
        rollout_percent_source=state.source(tenant, key_id, "rollout_percent"),
        selected=selected(tenant, key_id, decision.rollout_percent) if key_id else None,
        locks=[
            messages.LockView(source, floors[scope].mode, floors[scope].classical_excluded)
            for scope, source in scopes
            if scope in floors
        ],
        exceptions=[
            messages.ExceptionView(
                source,
                one.name,
                one.reason,
                one.verify_mode,
                one.expires_at,
                one.requested_by,
                one.approved_by,
            )
            for source, one in exceptions
            if one is not None
        ],
    )
