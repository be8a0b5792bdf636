"""Envelope encryption with a stored key (docs/formats/envelope.md)."""

from __future__ import annotations

import secrets
from typing import Final

from msgspec import UNSET

from ronkms.domain.algorithm import ALGORITHMS, Usage
from ronkms.domain.envelope import MAX_AAD, MAX_ENVELOPE, MAX_PLAINTEXT, NOT_OPENED, encode_header, split
from ronkms.errors import BadRequest, TooLarge
from ronkms.service.admission import Gate
from ronkms.service.call import Call
from ronkms.service.key_access import KeyAccess
from ronkms.service.operation_budget import OperationBudget
from ronkms.service.results import DataKey, Unwrapped, Wrapped

DATA_KEY_SIZES: Final = (16, 32, 64)


class Wrapping:
    """The newest enabled version wraps; the version that the envelope names unwraps.

    All methods raise BadRequest, TooLarge, Unauthenticated, Denied, PolicyUnavailable, NotFound, KeyDisabled,
    Saturated, TenantOverShare, BackendUnavailable."""

    def __init__(self, *, gate: Gate, access: KeyAccess, budget: OperationBudget) -> None:
        self._gate = gate
        self._budget = budget
        self._access = access

    def wrap(self, call: Call, key_id: str, plaintext: bytes, aad: bytes) -> Wrapped:
        """``plaintext``: 1 byte to 64 KiB; ``aad`` up to 64 KiB, none for AES-KWP."""
        if not plaintext:
            raise BadRequest("plaintext is empty", field="/plaintext")
        if len(plaintext) > MAX_PLAINTEXT:
            raise TooLarge(f"plaintext is over {MAX_PLAINTEXT} bytes; wrap a data key and encrypt with that")
        _check_aad(aad)
        call.input = plaintext
        key = self._access.find_usable(call, key_id, Usage.WRAP)
        version = key.newest_enabled()
        row = ALGORITHMS[version.alg]
        call.alg, call.key_version = version.alg, version.number
        if aad and not row.aad:
            raise BadRequest(f"{row.name} takes no aad", field="/aad")
        self._gate.top_up(call, row.cost_private)
        self._budget.take(key, version)
        header = encode_header(version.alg, version.number)
        body = self._access.handle(key, version).wrap(header, aad, plaintext)
        self._access.recheck(key, version.number)
        return Wrapped(
            ciphertext=header + body, alg=version.alg, key_id=key.key_id, key_version=version.number
        )

    def unwrap(self, call: Call, key_id: str, ciphertext: bytes, aad: bytes) -> Unwrapped:
        """One message for everything that does not open."""
        if len(ciphertext) > MAX_ENVELOPE:
            raise TooLarge(f"ciphertext is over {MAX_ENVELOPE} bytes")
        _check_aad(aad)
        call.input = ciphertext
        key = self._access.find_usable(call, key_id, Usage.WRAP)
        alg, number, header, body = split(ciphertext)
        named = key.versions.get(number)
        if named is None or named.alg != alg:
            raise BadRequest(NOT_OPENED, field="/ciphertext")
        call.alg, call.key_version = alg, number
        version = key.enabled_version(number)
        row = ALGORITHMS[alg]
        if aad and not row.aad:
            raise BadRequest(f"{row.name} takes no aad", field="/aad")
        self._gate.top_up(call, row.cost_private)
        handle = self._access.handle(key, version)
        try:
            plaintext = handle.unwrap(header, aad, body)
        except BadRequest:
            raise BadRequest(NOT_OPENED, field="/ciphertext") from None
        self._access.recheck(key, number)
        return Unwrapped(plaintext=plaintext, alg=alg, key_id=key.key_id, key_version=number)

    def data_key(self, call: Call, key_id: str, size: int, in_clear: bool, aad: bytes) -> DataKey:
        """A fresh random key of ``size`` bytes, wrapped, and in the clear if wanted."""
        if size not in DATA_KEY_SIZES:
            raise BadRequest("bytes must be 16, 32 or 64", field="/bytes")
        plaintext = secrets.token_bytes(size)
        wrapped = self.wrap(call, key_id, plaintext, aad)
        # Nothing that the caller did not send may be recognizable in the log by its digest.
        call.input = wrapped.ciphertext
        return DataKey(
            ciphertext=wrapped.ciphertext,
            alg=wrapped.alg,
            key_id=wrapped.key_id,
            key_version=wrapped.key_version,
            plaintext=plaintext if in_clear else UNSET,
        )


def _check_aad(aad: bytes) -> None:
    if len(aad) > MAX_AAD:
        raise TooLarge(f"aad is over {MAX_AAD} bytes")
