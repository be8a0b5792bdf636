"""Import of wrapped key material: the service hands out a one-time wrapping key, and takes it back once."""

from __future__ import annotations

from functools import partial
from time import time
from typing import Final

import msgspec

from ronkms.domain.algorithm import ALGORITHMS
from ronkms.domain.key import Origin
from ronkms.domain.key_policy import KeyPolicy
from ronkms.errors import BadRequest, Conflict, NotFound
from ronkms.service.admission import Gate
from ronkms.service.call import Call
from ronkms.service.import_tickets import ImportTickets
from ronkms.service.journaling import Journaling
from ronkms.service.key_access import KeyAccess
from ronkms.service.key_policy import NewKey
from ronkms.service.lifecycle import new_version
from ronkms.service.results import ImportParams, NewVersion
from ronkms.store.protocol import KeyStore

MECHANISMS: Final = ("RSA-OAEP-3072-SHA256-AES-KWP", "HPKE-X-Wing-HKDF-SHA256-AES-256-GCM")
"""What ``ronkms_native.Custody.import_params`` knows; the first is the default."""

_PARAMS_COST: Final = ALGORITHMS["PS256"].cost_private


class Importing:
    """Plain key material is seen by the custody alone.

    Both methods raise BadRequest, Unauthenticated, Denied, PolicyUnavailable, Saturated, TenantOverShare,
    BackendUnavailable, AuditUnavailable."""

    def __init__(
        self,
        *,
        gate: Gate,
        access: KeyAccess,
        store: KeyStore,
        journaling: Journaling,
        tickets: ImportTickets,
        default_backend: str,
    ) -> None:
        self._gate = gate
        self._access = access
        self._store = store
        self._journaling = journaling
        self._tickets = tickets
        self._default_backend = default_backend

    def params(self, call: Call, mechanism: str, backend: str) -> ImportParams:
        """A wrapping key that lives for an hour and works once, in this tenant and backend only."""
        if mechanism not in MECHANISMS:
            raise BadRequest(f"mechanism must be one of {', '.join(MECHANISMS)}", field="/mechanism")
        name = backend or self._default_backend
        if not self._access.has_backend(name):
            raise BadRequest(f"backend {name[:32]!r} is not configured on this server", field="/backend")
        self._access.refresh()
        call.require(None)
        if call.inquiry is not None:
            call.inquiry.require_no_key("")
        call.detail = "import params"
        self._gate.top_up(call, _PARAMS_COST)
        now = int(time())
        self._tickets.drop_expired(now)
        ticket = self._tickets.new(call.tenant, name, mechanism, now)
        sealed, public = self._access.backend(name).import_params(mechanism, ticket.identity())
        ticket = msgspec.structs.replace(ticket, sealed=sealed)
        self._tickets.store(ticket)
        return ImportParams(
            import_id=ticket.import_id, mechanism=mechanism, public_key=public, expires_at=ticket.expires_at
        )

    def take(
        self, call: Call, import_id: str, wrapped: bytes, wanted: NewKey, new_version_of: bool
    ) -> NewVersion:
        """A new key, or with ``new_version_of`` the next version of the key that ``wanted`` names.

        Uses up the wrapping key, even if the material is then refused. Raises also Conflict (the key
        exists), NotFound (the import id, or the key for a new version), KeyDisabled."""
        row, key_id = wanted.checked(imported=True)
        call.key_id, call.alg = key_id, row.name
        self._access.refresh()
        call.require(key_id, row.name)
        if call.inquiry is not None:
            if new_version_of:
                call.inquiry.require_stored(key_id, self._store.find(call.tenant, key_id), row.name)
            else:
                call.inquiry.require_new(key_id, row, wanted.labels)
        self._check_target(call, key_id, wanted, new_version_of)
        self._gate.top_up(call, row.cost_private)
        ticket = self._tickets.take(import_id, call.tenant, int(time()))
        if wanted.backend and wanted.backend != ticket.backend:
            raise BadRequest(f"these import params are for backend {ticket.backend}", field="/backend")
        seal = partial(
            self._access.backend(ticket.backend).import_key,
            ticket.mechanism,
            ticket.sealed,
            ticket.identity(),
            wrapped,
            row.name,
        )
        if new_version_of:
            call.key_version = len(self._store.get(call.tenant, key_id).versions) + 1
            add = partial(
                self._store.add_version,
                call.tenant,
                key_id,
                alg=row.name,
                origin=Origin.IMPORTED,
                seal=seal,
            )
            key = self._journaling.commit(call, add)
            call.key_version = len(key.versions)
            self._journaling.rotated(key, call.corr_id)
        else:
            create = partial(
                self._store.create,
                tenant=call.tenant,
                key_id=key_id,
                alg=row.name,
                backend=ticket.backend,
                labels=wanted.labels,
                policy=wanted.policy,
                origin=Origin.IMPORTED,
                seal=seal,
            )
            key = self._journaling.commit(call, create)
            call.key_version = 1
            self._journaling.state_changed(key.tenant, key_id, key.state.value, None, call.corr_id)
        return new_version(key)

    def _check_target(self, call: Call, key_id: str, wanted: NewKey, new_version_of: bool) -> None:
        key = self._store.find(call.tenant, key_id)
        if not new_version_of:
            if key is not None:
                raise Conflict(f"key {key_id} exists; send new_version: true to add a version to it")
            return
        if key is None:
            raise NotFound(f"no key {key_id}")
        key.require_enabled()
        if key.alg != wanted.alg:
            raise BadRequest(f"key {key_id} is {key.alg}", field="/alg")
        if wanted.labels or wanted.policy != KeyPolicy():
            raise BadRequest(
                "labels and policy belong to the key; leave them out with new_version", "/new_version"
            )
