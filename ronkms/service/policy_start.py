"""What a start changes of the policy: by other settings, or by accepting that the journal was lost."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial
from typing import Final, Protocol

import msgspec

from ronkms.audit.protocol import AuditTrail
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import AuditUnavailable, KmsError, StartError
from ronkms.journal import JournalAnchor
from ronkms.policy.entry import DefaultsSet
from ronkms.policy.registry import PolicyRegistry

PRINCIPAL: Final = "system:settings"


class Publish(Protocol):
    """``ronkms.bus.protocol.Bus.publish``."""

    def __call__(self, event: str, fields: Mapping[str, str | int]) -> None: ...


def adopt_defaults(
    registry: PolicyRegistry, defaults: DefaultsSet, *, audit: AuditTrail, publish: Publish
) -> bool:
    """Before the server serves: takes ``defaults`` over if they are not those of the last start.

    Recorded before and after as an admin operation ``policy.defaults`` with the old and the new values, and
    told on the bus. False if nothing changed. Raises AuditUnavailable (then nothing is changed),
    BackendUnavailable, IntegrityError."""
    before = registry.state.defaults
    if _values(before) == _values(defaults):
        return False
    changes = msgspec.json.encode({"from": _values(before), "to": _values(defaults)}).decode()
    record = partial(
        audit.record,
        op=Operation.ADMIN,
        tenant="",
        token_id=PRINCIPAL,
        corr_id=secrets.token_hex(16),
        detail=f"policy.defaults entry={registry.settled() + 1} {changes}",
    )
    record(outcome=Outcome.OK, phase="intent")
    try:
        registry.change(lambda _: defaults)
    except KmsError as error:
        record(outcome=Outcome.ERROR, code=error.code, phase="outcome")
        raise
    record(outcome=Outcome.OK, phase="outcome")
    fields: dict[str, str | int] = {
        "verify_mode": defaults.verify_mode.value,
        "produce_hybrid": "true" if defaults.produce_hybrid else "false",
        "rollout_percent": defaults.rollout_percent,
    }
    publish("PolicyChanged", {"change": "defaults", "tenant": "", "key_id": "", **fields})
    publish("ConfigUpdated", {f"pq_{name}": value for name, value in fields.items()})
    return True


def record_accepted_loss(anchor: JournalAnchor, *, audit: AuditTrail, publish: Publish) -> None:
    """Before a new policy journal is made in the place of one that was lost (``policy_accept_loss``).

    Raises StartError: that cannot be recorded."""
    try:
        audit.record(
            op=Operation.ADMIN,
            outcome=Outcome.OK,
            tenant="",
            token_id=PRINCIPAL,
            corr_id=secrets.token_hex(16),
            detail=f"policy.accept_loss entries={anchor.seq} locks_kept={len(anchor.keep)}",
        )
    except AuditUnavailable:
        raise StartError(
            "policy_accept_loss: the audit log cannot take the record of that; free space for it"
        ) from None
    publish("PolicyChanged", {"change": "accept_loss", "tenant": "", "key_id": "", "entries": anchor.seq})


def _values(defaults: DefaultsSet) -> dict[str, str | int]:
    return {
        "verify_mode": defaults.verify_mode.value,
        "produce_hybrid": defaults.produce_hybrid,
        "rollout_percent": defaults.rollout_percent,
    }
