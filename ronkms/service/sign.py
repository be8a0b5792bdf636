"""Signing with a stored key."""

from __future__ import annotations

import msgspec

from ronkms.domain.algorithm import ALGORITHMS, Usage
from ronkms.domain.key import Key, KeyVersion
from ronkms.errors import PqPolicyRejected
from ronkms.policy.decision import Policy
from ronkms.policy.pq import is_classical
from ronkms.policy.rollout import signing_version
from ronkms.service.admission import Gate
from ronkms.service.call import Call
from ronkms.service.crypto_input import CryptoInput
from ronkms.service.key_access import KeyAccess
from ronkms.service.operation_budget import OperationBudget
from ronkms.service.results import Signature, SignedAlike


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """A decided and checked request: all that is left is the cryptography."""

    key: Key
    version: KeyVersion
    given: CryptoInput
    digest: bytes
    """What identifies the input: SHA-256 of the message, or the other digest or mu itself."""
    cost: int


class Signing:
    """The newest enabled version of a key signs, of the kind that the rollout picks."""

    def __init__(self, *, gate: Gate, access: KeyAccess, policy: Policy, budget: OperationBudget) -> None:
        self._gate = gate
        self._budget = budget
        self._access = access
        self._policy = policy

    def sign(self, call: Call, key_id: str, given: CryptoInput) -> Signature:
        """Raises BadRequest, TooLarge, Unauthenticated, Denied, PolicyUnavailable, NotFound, KeyDisabled,
        KeyExhausted, PqPolicyRejected, Saturated, TenantOverShare, BackendUnavailable."""
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
        decision = self._policy.decide(call.tenant, key_id)
        # A composite takes a message (with a context) only.
        version = signing_version(key, decision, hybrid_fits=given.plain and not given.signature_format)
        row = ALGORITHMS[version.alg]
        call.alg, call.key_version = version.alg, version.number
        if version.alg != key.alg:
            call.require(key_id, version.alg, digest)
            if call.inquiry is not None:
                call.inquiry.require_stored(key_id, key, version.alg)
        given.require_fit(row, key.policy)
        if decision.refuses_classical_signing and is_classical(version.alg):
            raise PqPolicyRejected(
                f"the policy asks for a post-quantum component, ML-DSA or SLH-DSA; {version.alg} has none:"
                " rotate the key to a hybrid algorithm and send the message itself, without prehashed"
            )
        return Prepared(key, version, given, call.input, row.cost_private)

    def finish(self, prepared: Prepared) -> Signature:
        """The cryptography of one request."""
        given = prepared.given
        self._budget.take(prepared.key, prepared.version)
        signature = self._access.handle(prepared.key, prepared.version).sign(
            given.data, context=given.context, input_kind=given.kind, p1363=given.p1363
        )
        self._access.recheck(prepared.key, prepared.version.number)
        return _answer(prepared, signature)

    def finish_alike(self, prepared: Prepared, messages: list[bytes], *, background: bool) -> SignedAlike:
        """Several messages that differ from a plain request in nothing else, spread over all cores; the first
        of them if the key's ``max_operations`` leaves fewer."""
        key, version = prepared.key, prepared.version
        allowed = self._budget.take(key, version, len(messages))
        signatures = self._access.handle(key, version).sign_batch(
            messages[:allowed], context=prepared.given.context, background=background
        )
        self._access.recheck(key, version.number)
        refusal = key.exhausted(version.number) if allowed < len(messages) else None
        return SignedAlike(_answer(prepared, b""), signatures, refusal)


def _answer(prepared: Prepared, signature: bytes) -> Signature:
    version = prepared.version
    return Signature(
        signature=signature, alg=version.alg, key_id=prepared.key.key_id, key_version=version.number
    )
