"""From a key id to a key that the caller may use, and to its private handle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from random import SystemRandom
from time import time
from typing import Final

from ronkms.backends.protocol import Backend, KeyHandle
from ronkms.capability.protocol import CapabilityVerifier
from ronkms.domain.algorithm import Usage
from ronkms.domain.key import Key, KeyVersion, check_key_id, record_identity
from ronkms.errors import BackendUnavailable, BadRequest, Conflict, KeyDisabled, NotFound
from ronkms.service.call import Call
from ronkms.store.protocol import KeyStore

ANY_KEY = "*"
"""The key id that an operation on no single stored key is authorized for."""

_RANDOM: Final = SystemRandom()
"""Of the operating system: no state that a fork could double."""

identity_of = lru_cache(maxsize=8192)(record_identity)


class KeyAccess:
    """Refreshes, decides, then looks: the existence of a key shows only to a caller with rights on it,
    also in how long a refusal takes."""

    def __init__(
        self,
        *,
        store: KeyStore,
        backends: Mapping[str, Backend],
        capabilities: CapabilityVerifier,
        on_staged: Callable[[], object],
    ) -> None:
        """``on_staged`` is called for each refusal by a key that is disabled in stages."""
        self._store = store
        self._backends = backends
        self._capabilities = capabilities
        self._on_staged = on_staged

    def find(self, call: Call, key_id: str, message_digest: bytes = b"") -> Key:
        """The key, in any state, after the full decision on it.

        ``message_digest``: SHA-256 of what is signed, for tokens attenuated to one digest; empty where
        there is none. Raises BadRequest, Unauthenticated, Denied, PolicyUnavailable, then NotFound.
        """
        check_key_id(key_id)
        self.refresh()
        call.key_id = key_id
        asked, cert = call.capability, call.client_cert
        asked.require_unseen(call.op, key_id=key_id, message_digest=message_digest, client_cert=cert)
        key = self._store.find(call.tenant, key_id) if asked.binds_alg else self._known(call.tenant, key_id)
        alg = "" if key is None else key.alg
        call.alg = alg
        asked.require_seen(call.op, key_id=key_id, alg=alg, message_digest=message_digest, client_cert=cert)
        if call.inquiry is not None:
            call.inquiry.require_stored(key_id, key, alg)
        if key is None:
            raise NotFound(f"there is no key {key_id}")
        return key

    def _known(self, tenant: str, key_id: str) -> Key | None:
        """For a caller who may know whether there is such a key: in less time if it was used lately."""
        try:
            return self._store.get(tenant, key_id)
        except NotFound:
            return None

    def find_usable(self, call: Call, key_id: str, usage: Usage, message_digest: bytes = b"") -> Key:
        """As :meth:`find`, and of that usage, undamaged and inside its policy's window.

        Raises also BadRequest, BackendUnavailable, KeyDisabled (the window, or disabled in stages)."""
        key = self.find(call, key_id, message_digest)
        if key.usage is not usage:
            raise BadRequest(f"key {key_id} is for {key.usage}, not for {usage}", field="/key_id")
        if key.damaged is not None:
            raise BackendUnavailable(
                f"record {key.damaged} of key {key_id} is damaged; restore it from a backup"
            )
        if key.policy.windowed:
            key.require_in_window(time())
        if key.staged is not None:
            self._require_not_staged(call, key)
        return key

    def _require_not_staged(self, call: Call, key: Key) -> None:
        # One draw a request, also for a batch; another for its repetition, which may succeed.
        if call.draw < 0:
            call.draw = _RANDOM.random() * 100
        try:
            key.require_not_staged(call.draw, time())
        except KeyDisabled:
            self._on_staged()
            call.detail = "staged_disable"
            raise

    def require_any(self, call: Call, alg: str = "", message_digest: bytes = b"") -> None:
        """The decision for an operation on no single stored key. Raises Unauthenticated, Denied,
        PolicyUnavailable."""
        self.refresh()
        call.require(ANY_KEY, alg, message_digest)
        if call.inquiry is not None:
            call.inquiry.require_no_key(alg)

    def require_absent(self, tenant: str, key_id: str) -> None:
        """As far as this process has seen. Raises Conflict if the key exists, in any state."""
        try:
            self._store.get(tenant, key_id)
        except NotFound:
            return
        raise Conflict(f"key {key_id} exists already")

    def refresh(self) -> None:
        """Sees what other processes changed. Two atomic loads when nothing did."""
        self._store.refresh()
        self._capabilities.refresh()

    def handle(self, key: Key, version: KeyVersion) -> KeyHandle:
        """The private handle of a version. Raises BackendUnavailable."""
        identity = identity_of(key.tenant, key.key_id, version.number, version.alg)
        backend = self.backend(key.backend)
        warm = backend.warm(identity)
        if warm is not None:
            return warm
        return backend.open(self._store.record(key.tenant, key.key_id, version.number), identity)

    def has_backend(self, name: str) -> bool:
        """Whether this server runs the backend of that name."""
        return name in self._backends

    def backend(self, name: str) -> Backend:
        """The backend of that name. Raises BackendUnavailable if this server does not run it."""
        try:
            return self._backends[name]
        except KeyError:
            raise BackendUnavailable(f"backend {name} is not configured on this server") from None

    def recheck(self, key: Key, number: int) -> None:
        """After the cryptography: nothing leaves for a version that was disabled or has expired meanwhile.

        Raises KeyDisabled."""
        self._store.refresh()
        current = self._store.get(key.tenant, key.key_id)
        if current.epoch != key.epoch:
            current.enabled_version(number)
        if current.policy.windowed:
            current.require_in_window(time())
