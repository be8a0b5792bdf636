"""Making keys, rotating them, moving them between states, and changing their policies."""

from __future__ import annotations

from functools import partial
from time import time
from typing import Final

import msgspec
from msgspec import UNSET

from ronkms.domain.algorithm import ALGORITHMS
from ronkms.domain.key import DESTROY_WINDOW_SECONDS, Key, KeyState, Origin
from ronkms.domain.key_policy import PolicyChange
from ronkms.domain.lifecycle import changes_key, check_transition
from ronkms.errors import BadRequest, Conflict
from ronkms.policy.decision import Decision, Policy
from ronkms.policy.rollout import HYBRID_OF, lacks_hybrid, signing_version, signs_hybrid
from ronkms.service.admission import Gate
from ronkms.service.call import Call
from ronkms.service.destroy_protection import DestroyProtection
from ronkms.service.hybrid_preparation import HybridPreparation
from ronkms.service.journaling import Journaling
from ronkms.service.key_access import KeyAccess
from ronkms.service.key_policy import NewKey
from ronkms.service.results import NewVersion, PolicyOf, StateChange, staged_disabling
from ronkms.store.protocol import KeyStore

MIN_WINDOW_SECONDS: Final = 60
MAX_WINDOW_SECONDS: Final = 365 * 24 * 3600


class Destroy(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was asked of a destruction. ``key_version`` None: the whole key. ``window_seconds`` None: 7 days.

    ``force``: although it was used lately. ``dry_run``: only say what would be done."""

    key_version: int | None = None
    window_seconds: int | None = None
    dry_run: bool = False
    force: bool = False


class Lifecycle:
    """Every change is in the audit log before and after it is made, and in every worker when it returns.

    All methods raise BadRequest, Unauthenticated, Denied, PolicyUnavailable, NotFound, Conflict,
    KeyDisabled, Saturated, TenantOverShare, BackendUnavailable, AuditUnavailable."""

    def __init__(
        self,
        *,
        gate: Gate,
        access: KeyAccess,
        store: KeyStore,
        journaling: Journaling,
        policy: Policy,
        hybrids: HybridPreparation,
        protection: DestroyProtection,
        default_backend: str,
    ) -> None:
        self._gate = gate
        self._access = access
        self._store = store
        self._journaling = journaling
        self._policy = policy
        self._hybrids = hybrids
        self._protection = protection
        self._default_backend = default_backend

    def create(self, call: Call, wanted: NewKey) -> NewVersion:
        """A new key with version 1, and a hybrid version 2 if the rollout selects it; the answer is about the
        newest. Raises Conflict if it exists, in any state."""
        row, key_id = wanted.checked()
        call.key_id, call.alg = key_id, row.name
        self._access.refresh()
        call.require(key_id, row.name)
        if call.inquiry is not None:
            call.inquiry.require_new(key_id, row, wanted.labels)
        name = wanted.backend or self._default_backend
        if not self._access.has_backend(name):
            raise BadRequest(f"backend {name[:32]!r} is not configured on this server", field="/backend")
        self._gate.top_up(call, row.cost_private + self._hybrid_cost(call.tenant, key_id, row.name))
        backend = self._access.backend(name)
        self._access.require_absent(call.tenant, key_id)
        key = self._journaling.commit(
            call,
            partial(
                self._store.create,
                tenant=call.tenant,
                key_id=key_id,
                alg=row.name,
                backend=name,
                labels=wanted.labels,
                policy=wanted.policy,
                origin=Origin.GENERATED,
                seal=partial(backend.generate, row.name),
            ),
        )
        call.key_version = 1
        self._journaling.state_changed(key.tenant, key_id, key.state.value, None, call.corr_id)
        return new_version(self._hybrids.prepare_new(key))

    def _hybrid_cost(self, tenant: str, key_id: str, alg: str) -> int:
        if alg in HYBRID_OF and signs_hybrid(tenant, key_id, self._policy.decide(tenant, key_id)):
            return ALGORITHMS[HYBRID_OF[alg]].cost_private
        return 0

    def rotate(self, call: Call, key_id: str, alg: str | None = None) -> NewVersion:
        """A new version, which signs or wraps from now on; older ones go on verifying and unwrapping.

        ``alg``: the key's own, or the hybrid that its classical algorithm moves to; by default that of the
        version which the policy makes sign. Allowed outside the window of the key's policy: no private key
        is used."""
        key = self._access.find(call, key_id)
        key.require_enabled()
        decision = self._policy.decide(key.tenant, key_id)
        alg = rotated_alg(key, decision) if alg is None else _checked_alg(key, alg)
        key.require_alg(alg)
        if alg != key.alg:
            call.require(key_id, alg)
            if call.inquiry is not None:
                call.inquiry.require_stored(key_id, key, alg)
        self._gate.top_up(call, ALGORITHMS[alg].cost_private)
        backend = self._access.backend(key.backend)
        call.key_version = len(key.versions) + 1
        changed = self._journaling.commit(
            call,
            partial(
                self._store.add_version,
                call.tenant,
                key_id,
                alg=alg,
                origin=Origin.GENERATED,
                seal=partial(backend.generate, alg),
            ),
        )
        call.key_version = len(changed.versions)
        self._journaling.rotated(changed, call.corr_id)
        return new_version(changed)

    def enable(self, call: Call, key_id: str, version: int | None) -> StateChange:
        """From disabled."""
        return self._set_state(call, key_id, version, KeyState.ENABLED)

    def disable_in_stages(self, call: Call, key_id: str, percent: int, over: int) -> StateChange:
        """The key refuses ``percent`` (1 to 100) of its requests within ``over`` seconds from now; with 100
        it becomes disabled then. The share only grows; enable takes it back.

        Raises also Conflict: not enabled, or it refuses more already."""
        key = self._access.find(call, key_id)
        call.detail = f"staged_disable={percent}% over={over}"
        key.next_stage(percent, over, int(time()))
        key = self._journaling.commit(
            call, partial(self._store.stage_disable, call.tenant, key_id, percent, over)
        )
        self._journaling.stage_changed(key, percent, over, call.corr_id)
        return StateChange(key_id=key_id, state=key.state, staged_disabling=staged_disabling(key))

    def disable(self, call: Call, key_id: str, version: int | None) -> StateChange:
        """From enabled."""
        key = self._access.find(call, key_id)
        if _state(key, version) is KeyState.DESTROY_SCHEDULED:
            raise Conflict(f"{_name(key, version)} is destroy_scheduled; restore it, it is disabled then")
        return self._set_state(call, key_id, version, KeyState.DISABLED)

    def restore(self, call: Call, key_id: str, version: int | None) -> StateChange:
        """From destroy_scheduled, to disabled."""
        key = self._access.find(call, key_id)
        if _state(key, version) is not KeyState.DESTROY_SCHEDULED:
            raise Conflict(
                f"{_name(key, version)} is {_state(key, version)}; only destroy_scheduled is restored"
            )
        return self._set_state(call, key_id, version, KeyState.DISABLED)

    def destroy(self, call: Call, key_id: str, asked: Destroy) -> StateChange:
        """Schedules the destruction, 60 s to 365 days from now; by default 7 days. Restorable until then.

        Raises also Conflict: it was used lately, and ``force`` is not set."""
        window, version = asked.window_seconds, asked.key_version
        seconds = DESTROY_WINDOW_SECONDS if window is None else window
        if not MIN_WINDOW_SECONDS <= seconds <= MAX_WINDOW_SECONDS:
            raise BadRequest(
                f"window_seconds must be {MIN_WINDOW_SECONDS} to {MAX_WINDOW_SECONDS}",
                field="/window_seconds",
            )
        now = int(time())
        key = self._access.find(call, key_id)
        state = _state(key, version)
        if asked.dry_run:
            return self._dry_run(call, key, asked, now + seconds)
        if state in (KeyState.ENABLED, KeyState.DISABLED) and not asked.force:
            self._protection.require_unused(key, version, now)
        return self._set_state(
            call, key_id, version, KeyState.DESTROY_SCHEDULED, now + seconds, forced=asked.force
        )

    def _dry_run(self, call: Call, key: Key, asked: Destroy, destroy_at: int) -> StateChange:
        version = asked.key_version
        call.key_version = version or 0
        call.detail = f"dry_run state={KeyState.DESTROY_SCHEDULED}"
        state = _state(key, version)
        check_transition(_name(key, version), state, KeyState.DESTROY_SCHEDULED)
        return StateChange(
            key_id=key.key_id,
            state=state,
            key_version=UNSET if version is None else version,
            destroy_at=destroy_at,
            dry_run=self._protection.dry_run(key, version, int(time()), force=asked.force),
        )

    def set_policy(self, call: Call, key_id: str, change: PolicyChange) -> PolicyOf:
        """In effect for every request that starts after the return, in any worker."""
        key = self._access.find(call, key_id)
        call.detail = f"policy={msgspec.json.encode(change).decode()}"
        if key.changed_policy(change) != key.policy:
            key = self._journaling.commit(call, partial(self._store.set_policy, call.tenant, key_id, change))
            self._journaling.policy_changed(call, key)
        return PolicyOf(key_id=key_id, policy=key.policy)

    def _set_state(
        self,
        call: Call,
        key_id: str,
        version: int | None,
        state: KeyState,
        destroy_at: int | None = None,
        *,
        forced: bool = False,
    ) -> StateChange:
        key = self._access.find(call, key_id)
        call.key_version = version or 0
        call.detail = f"state={state} force" if forced else f"state={state}"
        if _changes(key, version, state):
            key = self._journaling.commit(
                call,
                partial(
                    self._store.set_state, call.tenant, key_id, state, version=version, destroy_at=destroy_at
                ),
            )
            self._journaling.state_changed(call.tenant, key_id, state.value, version, call.corr_id)
        when = key.destroy_at if version is None else key.version(version).destroy_at
        return StateChange(
            key_id=key_id,
            state=_state(key, version),
            key_version=UNSET if version is None else version,
            destroy_at=UNSET if when is None else when,
        )


def rotated_alg(key: Key, decision: Decision) -> str:
    """The algorithm of the next version: that of the version which signs, or its hybrid if that is due."""
    if not any(map(key.is_usable, key.versions)):
        return key.alg
    if lacks_hybrid(key, decision):
        return HYBRID_OF[key.newest_enabled().alg]
    return signing_version(key, decision).alg


def new_version(key: Key) -> NewVersion:
    """The answer about the newest version of ``key``."""
    number = len(key.versions)
    version = key.versions[number]
    return NewVersion(
        key_id=key.key_id, key_version=number, alg=version.alg, usage=key.usage, state=version.state
    )


def _checked_alg(key: Key, alg: str) -> str:
    allowed = [key.alg, HYBRID_OF[key.alg]] if key.alg in HYBRID_OF else [key.alg]
    if alg not in allowed:
        raise BadRequest(f"key {key.key_id} can be rotated to {' or '.join(allowed)}", field="/alg")
    return alg


def _state(key: Key, version: int | None) -> KeyState:
    return key.state if version is None else key.version(version).state


def _changes(key: Key, version: int | None, state: KeyState) -> bool:
    if version is None:
        return changes_key(key, state)
    return check_transition(_name(key, version), _state(key, version), state)


def _name(key: Key, version: int | None) -> str:
    return f"key {key.key_id}" if version is None else f"key {key.key_id} version {version}"
