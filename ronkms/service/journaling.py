"""The frame of every operation that changes a key: audit intent, store commit, outcome, event."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ronkms.audit.protocol import AuditTrail
from ronkms.bus.protocol import Bus
from ronkms.domain.key import Key
from ronkms.domain.operation import Outcome
from ronkms.service.call import Call


class Journaling:
    """The intent is on disk before the store changes; the gate records the outcome before the answer."""

    def __init__(self, *, audit: AuditTrail, bus: Bus) -> None:
        self._audit = audit
        self._bus = bus

    def commit(self, call: Call, change: Callable[[], Key]) -> Key:
        """Runs ``change`` between the two records. Raises AuditUnavailable, and what ``change`` raises."""
        self._audit.record(
            op=call.op,
            outcome=Outcome.OK,
            tenant=call.tenant,
            token_id=call.capability.token_id,
            corr_id=call.corr_id,
            key_id=call.key_id,
            key_version=call.key_version,
            alg=call.alg,
            detail=call.detail,
            phase="intent",
        )
        call.phase = "outcome"
        return change()

    def rotated(self, key: Key, corr_id: str) -> None:
        """Publishes ``KeyRotated`` for the newest version."""
        number = len(key.versions)
        self._bus.publish(
            "KeyRotated",
            {
                "tenant": key.tenant,
                "key_id": key.key_id,
                "key_version": number,
                "alg": key.versions[number].alg,
                "corr_id": corr_id,
            },
        )

    def policy_changed(self, call: Call, key: Key) -> None:
        """Publishes ``PolicyChanged`` with the whole policy as JSON."""
        self._bus.publish(
            "PolicyChanged",
            {
                "tenant": key.tenant,
                "key_id": key.key_id,
                "policy": msgspec.json.encode(key.policy).decode(),
                "corr_id": call.corr_id,
            },
        )

    def stage_changed(self, key: Key, percent: int, over: int, corr_id: str) -> None:
        """Publishes ``KeyStateChanged`` of a key that refuses ``percent`` within ``over`` seconds."""
        self._bus.publish(
            "KeyStateChanged",
            {
                "tenant": key.tenant,
                "key_id": key.key_id,
                "key_version": 0,
                "state": key.state.value,
                "refused_percent": percent,
                "over_seconds": over,
                "corr_id": corr_id,
            },
        )

    def rotation_failed(self, key: Key, code: str, attempts: int, wait: int) -> None:
        """Publishes ``RotationFailed``: a rotation is due and was not done; ``wait`` in seconds."""
        self._bus.publish(
            "RotationFailed",
            {
                "tenant": key.tenant,
                "key_id": key.key_id,
                "code": code,
                "attempts": attempts,
                "next_in_seconds": wait,
            },
        )

    def exhausted(self, key: Key, number: int) -> None:
        """Publishes ``KeyExhausted``: the last operations of the version were given out."""
        self._bus.publish(
            "KeyExhausted",
            {
                "tenant": key.tenant,
                "key_id": key.key_id,
                "key_version": number,
                "max_operations": key.policy.max_operations or 0,
            },
        )

    def state_changed(self, tenant: str, key_id: str, state: str, version: int | None, corr_id: str) -> None:
        """Publishes ``KeyStateChanged``; ``version`` None for the whole key."""
        self._bus.publish(
            "KeyStateChanged",
            {
                "tenant": tenant,
                "key_id": key_id,
                "key_version": version or 0,
                "state": state,
                "corr_id": corr_id,
            },
        )
