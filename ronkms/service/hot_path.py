"""Teaches the native engine of sign and verify (``ext/_fastpath.pyx``) what it may answer by itself.

The engine declines whatever it was not taught. What it is taught here is what the general path would find:
facts of a token, the candidate version of a key, the texts of the answers; each with the generations that
were read before the facts, so that any later change makes the engine decline until it is taught anew.
"""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from typing import Final
from weakref import ref

import msgspec
from ronkms_native import Arena, AuditLog

from ronkms._fastpath import CompiledToken, Engine, Grant, SignKey, VerifyKey
from ronkms.audit.digest_keys import DigestKeys
from ronkms.capability.protocol import CapabilityVerifier
from ronkms.capability.token import VerifiedToken
from ronkms.domain.algorithm import ALGORITHMS, Algorithm, Usage
from ronkms.domain.key import Key, KeyState, KeyVersion
from ronkms.domain.measure import (
    ALG_INDEX,
    AUDIT_DIGEST,
    CAPABILITY,
    COUNTER_INDEX,
    EXTERNAL_POLICY,
    KEYRING,
    OP_INDEX,
    OUTCOME_INDEX,
    POLICY,
    http_counter,
)
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import KmsError
from ronkms.policy.decision import Policy
from ronkms.policy.pq import VerifyMode, is_classical
from ronkms.policy.rollout import signing_version
from ronkms.service.crypto_input import CryptoInput
from ronkms.service.external_policy import ExternalPolicy, question_of, stored_key
from ronkms.service.key_access import KeyAccess
from ronkms.service.results import Signature, Verification
from ronkms.service.verdict_cache import VerdictCache, verdicts_of
from ronkms.store.protocol import KeyStore

OPERATIONS: Final = {Operation.SIGN: OP_INDEX[Operation.SIGN], Operation.VERIFY: OP_INDEX[Operation.VERIFY]}
"""What the engine does, by the index that it and the arena use."""

_PLAIN: Final = CryptoInput(b"")
"""What the engine signs: messages, in the algorithm's default format."""

_encode = msgspec.json.Encoder().encode

_MARK: Final = b"\x69\xb7\x1d\x79"
"""Stands for a signature and, as its base64 text, for a key id, where an answer is cut into parts."""
_MARK_TEXT: Final = b64encode(_MARK).decode()


class _Named(msgspec.Struct):
    """The part of a request that says which key entry was missing."""

    key_id: str = ""
    key_version: int = 0


_named = msgspec.json.Decoder(_Named)


class HotPath:
    """One in each worker, made after the fork: handles are of use in the process that opened them alone."""

    def __init__(
        self,
        *,
        arena: Arena,
        audit_log: AuditLog,
        digest_keys: DigestKeys,
        store: KeyStore,
        access: KeyAccess,
        capabilities: CapabilityVerifier,
        policy: Policy,
        verify_only: bool,
        external: ExternalPolicy | None = None,
    ) -> None:
        self._arena = arena
        self._external = external
        self._digest_keys = digest_keys
        self._store = store
        self._access = access
        self._capabilities = capabilities
        self._policy = policy
        self._cache = VerdictCache(arena)
        self._verify_only = verify_only
        self.engine = Engine(
            arena,
            audit_log,
            generations=(KEYRING, CAPABILITY, POLICY, AUDIT_DIGEST),
            counters=(http_counter(200), COUNTER_INDEX["kms_audit_records_total"]),
            outcomes=(OUTCOME_INDEX[Outcome.OK], OUTCOME_INDEX[Outcome.INVALID]),
            external=None if external is None else EXTERNAL_POLICY,
        )

    def learn(self, op: Operation, token: str, body: bytes | None) -> None:
        """After the general path has answered 200. ``body``: what the engine declined with UNKNOWN_KEY;
        None if it did not know the token."""
        if self._verify_only and op is not Operation.VERIFY:
            return
        generation = self._arena.generation(CAPABILITY)
        try:
            capability = self._capabilities.authenticate(token)
        except KmsError:
            return
        if body is None:
            self._learn_token(token, capability, generation)
            return
        try:
            digest = self._digest_keys.current()
        except KmsError:
            return
        self.engine.learn_digest_key(digest.key, digest.epoch, digest.generation)
        named = _named.decode(body)
        if op is Operation.VERIFY:
            self._learn_verify_key(capability.tenant, named.key_id, named.key_version)
        else:
            self._learn_sign_key(capability.tenant, named.key_id)

    def learn_grant(self, op: Operation, token: str, body: bytes, client_cert: str, source: str) -> None:
        """After the general path has answered 200 to ``body``: what the external policy allowed for it.

        ``client_cert``, ``source``: as the engine is told them."""
        if self._external is None:
            return
        arena = self._arena
        generations = {
            "keyring": arena.generation(KEYRING),
            "capability": arena.generation(CAPABILITY),
            "policy": arena.generation(POLICY),
            "external": arena.generation(EXTERNAL_POLICY),
        }
        try:
            capability = self._capabilities.authenticate(token)
        except KmsError:
            return
        key_id = _named.decode(body).key_id
        self._store.refresh()
        key = self._store.find(capability.tenant, key_id)
        if key is None:
            return
        question = question_of(
            capability.tenant,
            op,
            op.value,
            token_id=capability.token_id,
            client_cert=client_cert,
            source=source,
            items=1,
            alg=key.alg,
            key=stored_key(key_id, key),
        )
        allowed = self._external.allowed(question)
        if allowed is None:
            return
        grant = Grant(until=int(allowed.until * 1e9), **generations)
        self.engine.learn_grant(OPERATIONS[op], token, key_id.encode(), client_cert, source, grant)

    def _learn_token(self, token: str, capability: object, generation: int) -> None:
        facts = capability.compiled_facts() if isinstance(capability, VerifiedToken) else None
        if facts is None:
            return
        rights = [
            (OPERATIONS[operation], pattern.encode())
            for operation, pattern in facts.rights
            if operation in OPERATIONS
        ]
        audit_part = f'"tenant":"{facts.tenant}","token":"{facts.token_id}",'.encode()
        checks = [list(alternatives) for alternatives in facts.checks]
        compiled = CompiledToken(
            facts.tenant.encode(),
            audit_part,
            facts.deadline,
            facts.time_offset,
            rights,
            checks,
            facts.delegations,
        )
        self.engine.learn_token(token, compiled, generation)

    def _usable(self, tenant: str, key_id: str) -> Key | None:
        self._store.refresh()
        key = self._store.find(tenant, key_id)
        if key is None:
            return None
        usable = key.state is KeyState.ENABLED and key.usage is Usage.SIGN and key.damaged is None
        if key.policy.windowed or key.staged is not None:
            # The engine knows no time and draws no lots: the general path decides on each request.
            return None
        return key if usable else None

    def _learn_verify_key(self, tenant: str, key_id: str, number: int) -> None:
        keyring, policy = self._arena.generation(KEYRING), self._arena.generation(POLICY)
        decision = self._policy.decide(tenant, key_id)
        if decision.temporary:  # ends by the clock, which the engine does not watch
            return
        key = self._usable(tenant, key_id)
        if key is None:
            return
        try:
            version = key.enabled_version(number) if number else key.newest_enabled()
        except KmsError:
            return
        row = ALGORITHMS[version.alg]
        if not decision.accept.allows(row):
            return
        last = bool(number) or not _has_older(key, version)
        valid = tuple(
            decision.accept.accepts(row, verdicts_of(bits, len(row.components)))
            for bits in range(1 << len(row.components))
        )
        entry = VerifyKey(
            prefix=self._cache.sub_tag(
                tenant.encode(),
                decision.mode,
                policy,
                key.epoch,
                version.alg,
                version.public,
                version.number,
            ),
            keyring=keyring,
            policy=policy,
            alg=ALG_INDEX[version.alg],
            alg_name=_name(key.alg),
            context=row.context,
            audit_part=_audit_part(version.alg, version.number),
            answers=_verdict_answers(version.alg, version.number, decision.mode, valid, last),
            valid=valid,
        )
        self.engine.learn_verify_key(tenant.encode(), key_id.encode(), number, entry)

    def _learn_sign_key(self, tenant: str, key_id: str) -> None:
        keyring, policy = self._arena.generation(KEYRING), self._arena.generation(POLICY)
        decision = self._policy.decide(tenant, key_id)
        key = self._usable(tenant, key_id)
        if key is None or decision.temporary or key.policy.max_operations is not None:
            # The engine counts no operations.
            return
        try:
            version = signing_version(key, decision)
            if version.alg != key.alg or (decision.refuses_classical_signing and is_classical(version.alg)):
                return
            row: Algorithm = ALGORITHMS[version.alg]
            _PLAIN.require_fit(row, key.policy)
            handle = self._access.handle(key, version)
        except KmsError:
            return
        entry = SignKey(
            keyring=keyring,
            policy=policy,
            alg=ALG_INDEX[version.alg],
            alg_name=_name(key.alg),
            cost=row.cost_private,
            context=row.context,
            audit_part=_audit_part(version.alg, version.number),
            answer_parts=_signature_answer(version.alg, version.number),
            handle=ref(handle),
        )
        self.engine.learn_sign_key(tenant.encode(), key_id.encode(), entry)


def _has_older(key: Key, newest: KeyVersion) -> bool:
    """Whether another enabled version could have made a signature that the newest did not."""
    return any(map(key.is_usable, range(newest.number - 1, 0, -1)))


# What many keys have in common is one object. Most keys have few versions.


@lru_cache
def _name(alg: str) -> bytes:
    return alg.encode()


@lru_cache(maxsize=1024)
def _audit_part(alg: str, number: int) -> bytes:
    """JSON of a record behind the key id."""
    return f'","key_version":{number},"alg":"{alg}",'.encode()


@lru_cache(maxsize=1024)
def _signature_answer(alg: str, number: int) -> tuple[bytes, bytes, bytes]:
    """JSON of an answer before the signature, before the key id, and behind it."""
    answer = _encode(Signature(signature=_MARK, alg=alg, key_id=_MARK_TEXT, key_version=number))
    before, between, after = answer.split(_MARK_TEXT.encode())
    return before, between, after


@lru_cache(maxsize=4096)
def _verdict_answers(
    alg: str, number: int, mode: VerifyMode, valid: tuple[bool, ...], last: bool
) -> tuple[bytes | None, ...]:
    """The answer to each combination of verdicts; None where an older version would have to be tried."""
    names = ALGORITHMS[alg].components
    answers: list[bytes | None] = []
    for bits, accepted in enumerate(valid):
        if not accepted and not last:
            answers.append(None)
            continue
        verdicts = verdicts_of(bits, len(names))
        answer = Verification(
            valid=accepted,
            alg=alg,
            key_version=number,
            mode=mode.value,
            components=dict(zip(names, verdicts, strict=True)),
            conformant=all(verdicts),
            cache="hit",
        )
        answers.append(_encode(answer))
    return tuple(answers)
