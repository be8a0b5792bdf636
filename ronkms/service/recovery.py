"""Gives intents of the audit log whose process died before the outcome the one that the store shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from ronkms.audit.intents import Phase
from ronkms.audit.protocol import AuditTrail
from ronkms.domain.key import Key, KeyState
from ronkms.domain.key_policy import PolicyChange
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import NotFound
from ronkms.service.admin_recovery import AdminRecovery
from ronkms.service.recovery_verdict import Verdict
from ronkms.store.protocol import KeyStore

INTERRUPTED: Final = "interrupted"
"""``code`` of an outcome whose operation did not take effect, or is not known to have."""

_MAKING: Final = frozenset({Operation.CREATE, Operation.IMPORT})
_ADDING: Final = frozenset({Operation.ROTATE, Operation.IMPORT})
_CHANGES: Final = {"state": "state", "staged_disable": "state", "policy": "policy"}
"""What an operation ``state`` changes, by the beginning of its detail."""


class Recovery:
    """Before the server serves, when nobody changes the store or the log meanwhile; or while it runs
    (``service.orphaned_intents``)."""

    def __init__(self, *, store: KeyStore, audit: AuditTrail, admin: AdminRecovery) -> None:
        self._store = store
        self._audit = audit
        self._admin = admin

    def recover(
        self, intents: Sequence[Phase], done: Sequence[Phase], dead: Collection[int] | None = None
    ) -> Counter[Verdict]:
        """Records an outcome for each of ``intents``; how many of each verdict.

        ``done``: outcomes ``ok`` from the oldest intent on, or earlier. ``dead``: the processes whose intents
        are to be ended, by default all; an intent waits while a living process changes the same key. Raises
        AuditUnavailable: the rest have no outcome still."""
        verdicts: Counter[Verdict] = Counter()
        living = [] if dead is None else [intent for intent in intents if intent.pid not in dead]
        orphans = [
            intent
            for intent in intents
            if intent not in living and not any(_same_key(one, intent) for one in living)
        ]
        # All are judged before the first is recorded: each is evidence about the others.
        judged = [(intent, *self._judge(intent, intents, done)) for intent in orphans]
        for intent, verdict, version in judged:
            self._record(intent, verdict, version)
            verdicts[verdict] += 1
        return verdicts

    def _judge(self, intent: Phase, intents: Sequence[Phase], done: Sequence[Phase]) -> tuple[Verdict, int]:
        """The verdict, and the key version for the record."""
        if intent.op == Operation.ADMIN:
            return self._admin.judge(intent, intents, done), intent.key_version
        rivals = [one for one in intents if _same_key(one, intent) and one is not intent]
        others = [one for one in done if _same_key(one, intent)]
        try:
            key = self._store.get(intent.tenant, intent.key_id)
        except NotFound:
            return Verdict.NOT_COMMITTED, intent.key_version
        if intent.op == Operation.STATE:
            return _judge_state(key, intent, rivals, others), intent.key_version
        if intent.op in _MAKING and not intent.key_version:
            return _judge_new_key(key, intent, rivals, others)
        if intent.op in _ADDING and intent.key_version:
            return _judge_new_version(key, intent, rivals, others)
        return Verdict.UNKNOWN, intent.key_version

    def _record(self, intent: Phase, verdict: Verdict, version: int) -> None:
        committed = verdict is Verdict.COMMITTED
        self._audit.record(
            op=Operation(intent.op),
            outcome=Outcome.OK if committed else Outcome.ERROR,
            tenant=intent.tenant,
            token_id=intent.token,
            corr_id=intent.corr_id,
            key_id=intent.key_id,
            key_version=version,
            alg=intent.alg,
            code="" if committed else INTERRUPTED,
            detail=f"recovered: {verdict}" + (f"; {intent.detail}" if intent.detail else ""),
            phase="outcome",
            pid=intent.pid,
        )


def _same_key(one: Phase, other: Phase) -> bool:
    return (one.tenant, one.key_id) == (other.tenant, other.key_id) and one.op != Operation.ADMIN


def _judge_new_key(
    key: Key, intent: Phase, rivals: Sequence[Phase], others: Sequence[Phase]
) -> tuple[Verdict, int]:
    # There was no such key just before the intent (service/lifecycle.py), so one of those known made it.
    if key.versions[1].alg != intent.alg or any(one.op in _MAKING and one.key_version == 1 for one in others):
        return Verdict.NOT_COMMITTED, 0
    if any(one.op in _MAKING and not one.key_version for one in rivals):
        return Verdict.UNKNOWN, 0
    return Verdict.COMMITTED, 1


def _judge_new_version(
    key: Key, intent: Phase, rivals: Sequence[Phase], others: Sequence[Phase]
) -> tuple[Verdict, int]:
    # An intent names the version that was the next one; if another request was faster it became a later one.
    taken = {one.key_version for one in others if one.op in _ADDING}
    free = [number for number in key.versions if number >= intent.key_version and number not in taken]
    claimants = 1 + sum(one.op in _ADDING and one.key_version > 0 for one in rivals)
    if not free:
        return Verdict.NOT_COMMITTED, intent.key_version
    if claimants > 1:
        return Verdict.UNKNOWN, intent.key_version
    return Verdict.COMMITTED, free[0]


def _judge_state(key: Key, intent: Phase, rivals: Sequence[Phase], others: Sequence[Phase]) -> Verdict:
    # As ``service/lifecycle.py`` writes it.
    name, _, wanted = intent.detail.partition("=")
    if name not in _CHANGES or (intent.key_version and intent.key_version not in key.versions):
        return Verdict.UNKNOWN
    # It was otherwise at the intent (service/lifecycle.py), but others may have changed the same thing.
    scope = _scope(intent)
    if any(_scope(one) == scope and one.seq > intent.seq for one in others) or any(
        _scope(one) == scope for one in rivals
    ):
        return Verdict.UNKNOWN
    if name == "policy":
        return _judge_policy(key, wanted)
    if name == "staged_disable":
        begun = key.staged is not None and f"{key.staged.percent}% over={key.staged.over}" == wanted
        return Verdict.COMMITTED if begun else Verdict.NOT_COMMITTED
    state = key.version(intent.key_version).state if intent.key_version else key.state
    # A key whose disabling was begun is enabled still; to enable it is to end that. ``force`` may follow.
    staged = key.staged is not None and not intent.key_version
    if state.value == wanted.partition(" ")[0] and not staged:
        return Verdict.COMMITTED
    # The destruction of the whole key ends whatever state a version was in.
    return Verdict.UNKNOWN if state is KeyState.DESTROYED else Verdict.NOT_COMMITTED


def _scope(one: Phase) -> tuple[str, str, int]:
    """What an operation ``state`` changes: the state or the policy, of the key or of one version."""
    # After "; " if the outcome was recovered itself.
    name = one.detail.rpartition("; ")[2].partition("=")[0]
    return one.op, _CHANGES.get(name, name), one.key_version


def _judge_policy(key: Key, wanted: str) -> Verdict:
    try:
        change = msgspec.json.decode(wanted, type=PolicyChange)
    except msgspec.MsgspecError:  # cut short in the record
        return Verdict.UNKNOWN
    return Verdict.COMMITTED if change.applied(key.policy) == key.policy else Verdict.NOT_COMMITTED
