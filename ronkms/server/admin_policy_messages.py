"""Arguments and results of the admin operations ``policy.*`` (docs/formats/admin-socket.md)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from ronkms.capability.inspection import claimed_id
from ronkms.capability.possession import MAX_PROOF, token_of
from ronkms.policy.entry import Percent, exception_statement
from ronkms.policy.pq import VerifyMode
from ronkms.server.admin_messages import WithSecrets

Tenant = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")]
KeyScope = Annotated[str, Meta(pattern=r"^([a-z0-9][a-z0-9._-]{0,127})?\Z")]
ExceptionName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
Reason = Annotated[str, Meta(min_length=1, max_length=512)]
TokenOrProof = Annotated[str, Meta(max_length=MAX_PROOF)]


class InspectArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``key_id`` empty: the tenant itself."""

    tenant: Tenant
    key_id: KeyScope = ""


class SetArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is None stays as it is."""

    tenant: Tenant
    key_id: KeyScope = ""
    verify_mode: VerifyMode | None = None
    produce_hybrid: bool | None = None
    rollout_percent: Percent | None = None


class UnsetArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is true is inherited from now on."""

    tenant: Tenant
    key_id: KeyScope = ""
    verify_mode: bool = True
    produce_hybrid: bool = True
    rollout_percent: bool = True


class LockArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The floor is what holds now."""

    tenant: Tenant
    key_id: KeyScope = ""


class ExceptArguments(WithSecrets, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``ttl`` in seconds. The tokens: two capabilities with the right ``admin`` and different token ids; of
    one that is bound to a client certificate a proof of possession for :meth:`statement`."""

    tenant: Tenant
    key_id: KeyScope = ""
    name: ExceptionName
    reason: Reason
    verify_mode: VerifyMode
    ttl: int
    requester_token: TokenOrProof
    approver_token: TokenOrProof

    def statement(self) -> bytes:
        """What an admin agrees to."""
        return exception_statement(
            tenant=self.tenant,
            key_id=self.key_id,
            name=self.name,
            reason=self.reason,
            verify_mode=self.verify_mode,
            ttl=self.ttl,
        )

    def for_audit(self) -> msgspec.Struct:
        """The token ids, as the tokens name them, instead of the tokens."""
        return msgspec.structs.replace(
            self,
            requester_token=claimed_id(token_of(self.requester_token)),
            approver_token=claimed_id(token_of(self.approver_token)),
        )


class EndArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``name``: of the exception."""

    tenant: Tenant
    name: ExceptionName
    key_id: KeyScope = ""


class ExceptionView(msgspec.Struct, frozen=True):
    """An exception in force. ``scope``: ``tenant`` or ``key``; times in Unix seconds."""

    scope: str
    name: str
    reason: str
    verify_mode: VerifyMode
    expires_at: int
    requested_by: str
    approved_by: str


class LockView(msgspec.Struct, frozen=True):
    """A lock. ``scope``: ``tenant`` or ``key``."""

    scope: str
    verify_mode: VerifyMode
    classical_excluded: bool


class PolicyView(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a tenant or key, and where each value comes from (``key``, ``tenant``, ``default``)."""

    tenant: str
    key_id: str
    verify_mode: VerifyMode
    verify_mode_source: str
    classical_excluded: bool
    configured_verify_mode: VerifyMode
    produce_hybrid: bool
    produce_hybrid_source: str
    rollout_percent: int
    rollout_percent_source: str
    selected: bool | None
    """Whether the rollout selects the key; None for a tenant."""
    locks: list[LockView]
    exceptions: list[ExceptionView]
