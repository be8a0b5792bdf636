"""What the policy journal's entries add up to. No I/O.

Invariants: a lock's floor is never looser than what held in its scope at any moment since it was made, so
that neither a later setting nor other defaults at a restart can loosen it; an exception never moves a floor,
so that all is as before when it ends; a key is never looser than the lock of its tenant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ronkms.capability.clock import Clock, ForwardTime, SystemClock
from ronkms.errors import BadRequest, Conflict, IntegrityError
from ronkms.policy.decision import Decision
from ronkms.policy.entry import (
    DefaultsSet,
    Entry,
    Excepted,
    ExceptionEnded,
    Locked,
    ScopeSet,
    decode_entry,
    encode_entry,
)
from ronkms.policy.pq import RANK, AcceptSet, VerifyMode

MAX_EXCEPTION_SECONDS: Final = 30 * 24 * 3600

_BUILT_IN: Final = DefaultsSet(VerifyMode.AND, False, 0, 0)


class TenantPolicy:
    """What is set for one tenant. Keys of the mappings are key ids; ``""`` is the tenant itself."""

    def __init__(self) -> None:
        self.settings: dict[str, ScopeSet] = {}
        self.floors: dict[str, AcceptSet] = {}
        self.exceptions: dict[str, Excepted] = {}


_NOTHING: Final = TenantPolicy()


class PolicyState:
    """A ``JournalState``. Changes replace frozen values, so that readers take no lock."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._time = ForwardTime(clock or SystemClock())
        self._tenants: dict[str, TenantPolicy] = {}
        self._default = _default_decision(_BUILT_IN)
        self.defaults = _BUILT_IN

    # --- reading

    def now(self) -> int:
        """Whole Unix seconds; does not go back."""
        return self._time.now()

    def tenant(self, tenant: str) -> TenantPolicy:
        """What is set for ``tenant``, for reading."""
        return self._tenants.get(tenant, _NOTHING)

    def decide(self, tenant: str, key_id: str) -> Decision:
        """See ``policy.decision.Policy``."""
        found = self._tenants.get(tenant)
        if found is None:
            return self._default
        exception = self._exception(found, key_id)
        accept = self.standing(tenant, key_id) if exception is None else exception
        produce = self._inherited(found, key_id, "produce_hybrid")[0]
        percent = self._inherited(found, key_id, "rollout_percent")[0]
        return Decision(
            accept=accept, produce_hybrid=produce, rollout_percent=percent, temporary=exception is not None
        )

    def standing(self, tenant: str, key_id: str) -> AcceptSet:
        """What is accepted when no exception holds."""
        found = self.tenant(tenant)
        return _floored(found, key_id, AcceptSet.of(self.configured_mode(tenant, key_id)))

    def configured_mode(self, tenant: str, key_id: str) -> VerifyMode:
        """The mode that is set or inherited, whatever locks and exceptions make of it."""
        mode: VerifyMode = self._inherited(self.tenant(tenant), key_id, "verify_mode")[0]
        return mode

    def source(self, tenant: str, key_id: str, setting: str) -> str:
        """Where a setting (a field of ``ScopeSet``) comes from: ``key``, ``tenant`` or ``default``."""
        source: str = self._inherited(self.tenant(tenant), key_id, setting)[1]
        return source

    def expired(self) -> list[Excepted]:
        """Exceptions whose time has passed and that were not ended yet."""
        now = self.now()
        return [
            one
            for found in list(self._tenants.values())
            for one in list(found.exceptions.values())
            if one.expires_at <= now
        ]

    def active(self, tenant: str, key_id: str) -> Excepted | None:
        """The exception of just this tenant or key that holds now."""
        one = self.tenant(tenant).exceptions.get(key_id)
        return one if one is not None and self.now() < one.expires_at else None

    def _exception(self, found: TenantPolicy, key_id: str) -> AcceptSet | None:
        """What an exception makes of it: the key's own replaces everything; the tenant's replaces all but
        what is set and locked for the key itself."""
        if not found.exceptions:
            return None
        now = self.now()
        own = found.exceptions.get(key_id)
        if own is not None and now < own.expires_at:
            return AcceptSet.of(own.verify_mode)
        general = found.exceptions.get("")
        if general is None or now >= general.expires_at:
            return None
        accept = AcceptSet.of(general.verify_mode)
        settings = found.settings.get(key_id)
        if key_id and settings is not None and settings.verify_mode is not None:
            accept = accept.join(AcceptSet.of(settings.verify_mode))
        floor = found.floors.get(key_id) if key_id else None
        return accept if floor is None else accept.join(floor)

    def _inherited(self, found: TenantPolicy, key_id: str, name: str) -> tuple[Any, str]:
        for scope, source in ((key_id, "key"), ("", "tenant")):
            settings = found.settings.get(scope)
            value = None if settings is None else getattr(settings, name)
            if value is not None:
                return value, source if key_id else "tenant"
        return getattr(self.defaults, name), "default"

    # --- changing

    def check(self, entry: Entry) -> None:
        """To be asked before ``entry`` is written. Raises Conflict, BadRequest: it must not be."""
        match entry:
            case ScopeSet():
                self._check_set(entry)
            case Excepted():
                self._check_exception(entry)
            case ExceptionEnded():
                one = self.tenant(entry.tenant).exceptions.get(entry.key_id)
                if one is None or one.name != entry.name:
                    raise Conflict(f"no exception {entry.name} holds here")

    def _check_set(self, entry: ScopeSet) -> None:
        found = self.tenant(entry.tenant)
        floors = [found.floors[scope] for scope in {"", entry.key_id} if scope in found.floors]
        known = found.settings.get(entry.key_id)
        if not floors or entry.verify_mode is (None if known is None else known.verify_mode):
            return
        before = self.standing(entry.tenant, entry.key_id)
        wanted = AcceptSet.of(self._mode_after(found, entry))
        after = wanted
        for floor in floors:
            after = after.join(floor)
        if RANK[wanted.mode] < RANK[before.mode] or not after.within(before):
            raise Conflict(
                f"locked at {before.mode.value}: only a stricter mode can be set (or, pq_only, and);"
                " going back takes an exception (ronctl policy except)"
            )

    def _mode_after(self, found: TenantPolicy, entry: ScopeSet) -> VerifyMode:
        if entry.verify_mode is not None:
            return entry.verify_mode
        general = found.settings.get("") if entry.key_id else None
        if general is not None and general.verify_mode is not None:
            return general.verify_mode
        return self.defaults.verify_mode

    def _check_exception(self, entry: Excepted) -> None:
        found = self.tenant(entry.tenant)
        if not {"", entry.key_id} & found.floors.keys():
            raise Conflict("nothing is locked here; set the mode (ronctl policy set)")
        if self.active(entry.tenant, entry.key_id) is not None:
            raise Conflict("another exception holds here; end it first (ronctl policy end)")
        if not 0 < entry.expires_at - self.now() <= MAX_EXCEPTION_SECONDS:
            raise BadRequest(f"an exception lasts up to {MAX_EXCEPTION_SECONDS // 86400} days")
        if not entry.name or not entry.reason:
            raise BadRequest("an exception has a name and a reason")

    def apply(self, seq: int, entry: bytes) -> None:
        """Takes one committed entry. Raises IntegrityError for one of an unknown form."""
        try:
            change = decode_entry(entry)
        except msgspec.MsgspecError as error:
            raise IntegrityError(f"policy journal: entry {seq} is of an unknown form ({error})") from None
        if isinstance(change, DefaultsSet):
            self.defaults = change
            self._default = _default_decision(change)
            for tenant in self._tenants:
                self._ratchet(tenant)
            return
        found = self._tenants.setdefault(change.tenant, TenantPolicy())
        match change:
            case ScopeSet():
                if change.empty:
                    found.settings.pop(change.key_id, None)
                else:
                    found.settings[change.key_id] = change
            case Locked():
                floor = AcceptSet(change.verify_mode, change.classical_excluded)
                known = found.floors.get(change.key_id)
                found.floors[change.key_id] = floor if known is None else known.join(floor)
            case Excepted():
                found.exceptions[change.key_id] = change
            case ExceptionEnded():
                found.exceptions.pop(change.key_id, None)
        self._ratchet(change.tenant)

    def _ratchet(self, tenant: str) -> None:
        floors = self._tenants[tenant].floors
        for scope in sorted(floors):  # the tenant's own first: its keys' follow from it
            floors[scope] = self.standing(tenant, scope)

    def locks(self) -> Iterator[tuple[str, Locked]]:
        """All locks as they stand, by ``TENANT/KEY_ID``; equal locks are equal values."""
        for tenant, found in self._tenants.items():
            for key_id, floor in found.floors.items():
                yield (
                    f"{tenant}/{key_id}",
                    Locked(
                        tenant=tenant,
                        key_id=key_id,
                        verify_mode=floor.mode,
                        classical_excluded=floor.classical_excluded,
                        at=0,
                    ),
                )

    def live_count(self) -> int:
        """How many entries ``live_entries`` gives."""
        return 1 + sum(
            len(found.settings) + len(found.floors) + len(found.exceptions)
            for found in self._tenants.values()
        )

    def live_entries(self) -> Iterator[bytes]:
        """Entries that build the present state from nothing."""
        yield encode_entry(self.defaults)
        for tenant, found in self._tenants.items():
            yield from map(encode_entry, found.settings.values())
            for key_id, floor in found.floors.items():
                yield encode_entry(
                    Locked(
                        tenant=tenant,
                        key_id=key_id,
                        verify_mode=floor.mode,
                        classical_excluded=floor.classical_excluded,
                        at=self.defaults.at,
                    )
                )
            yield from map(encode_entry, found.exceptions.values())


def _floored(found: TenantPolicy, key_id: str, accept: AcceptSet) -> AcceptSet:
    for scope in ("", key_id) if key_id else ("",):
        floor = found.floors.get(scope)
        if floor is not None:
            accept = accept.join(floor)
    return accept


def _default_decision(defaults: DefaultsSet) -> Decision:
    return Decision(
        accept=AcceptSet.of(defaults.verify_mode),
        produce_hybrid=defaults.produce_hybrid,
        rollout_percent=defaults.rollout_percent,
    )
