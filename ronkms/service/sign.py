"""Signing with a stored key."""

from __future__ import annotations

import msgspec

from ronkms.domain.algorithm import ALGORITHMS, Usage
from ronkms.domain.key import Key, KeyVersion
from ronkms.service.admission import Gate
from ronkms.service.call import Call
from ronkms.service.crypto_input import CryptoInput
from ronkms.service.key_access import KeyAccess
from ronkms.service.results import Signature


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """A decided and checked request: all that is left is the cryptography."""

    key: Key
    version: KeyVersion
    given: CryptoInput
    digest: bytes
    """What identifies the input: SHA-256 of the message, or the other digest or mu itself."""
    cost: int


class Signing:
    """The newest enabled version of a key signs."""

    def __init__(self, *, gate: Gate, access: KeyAccess) -> None:
        self._gate = gate
        self._access = access

    def sign(self, call: Call, key_id: str, given: CryptoInput) -> Signature:
        """Raises BadRequest, TooLarge, Unauthenticated, Denied, NotFound, KeyDisabled, Saturated,
        TenantOverShare, BackendUnavailable."""
        prepared = self.prepare(call, key_id, given)
        self._gate.top_up(call, prepared.cost)
        return self.finish(prepared)

    def prepare(self, call: Call, key_id: str, given: CryptoInput) -> Prepared:
        """Everything before the cryptography but the permit.

        Of plain requests with one key and context a batch prepares one only, unless the token's decision
        depends on the message: nothing else here may."""
        given.check_sizes()
        digest = given.message_digest()
        call.input = digest or given.data
        key = self._access.find_usable(call, key_id, Usage.SIGN, digest)
        version = key.newest_enabled()
        row = ALGORITHMS[version.alg]
        call.alg, call.key_version = version.alg, version.number
        given.require_fit(row, key.policy)
        return Prepared(key, version, given, call.input, row.cost_private)

    def finish(self, prepared: Prepared) -> Signature:
        """The cryptography of one request."""
        given = prepared.given
        signature = self._access.handle(prepared.key, prepared.version).sign(
            given.data, context=given.context, input_kind=given.kind, p1363=given.p1363
        )
        self._access.recheck(prepared.key, prepared.version.number)
        return _answer(prepared, signature)

    def finish_alike(self, prepared: Prepared, messages: list[bytes]) -> list[Signature]:
        """Several messages that differ from a plain request in nothing else, spread over all cores."""
        signatures = self._access.handle(prepared.key, prepared.version).sign_batch(
            messages, context=prepared.given.context
        )
        self._access.recheck(prepared.key, prepared.version.number)
        return [_answer(prepared, signature) for signature in signatures]


def _answer(prepared: Prepared, signature: bytes) -> Signature:
    version = prepared.version
    return Signature(
        signature=signature, alg=version.alg, key_id=prepared.key.key_id, key_version=version.number
    )
