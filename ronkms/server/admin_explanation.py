"""The admin operation ``cap.explain``: why a token is refused, or that it is not."""

from __future__ import annotations

import time
from typing import Protocol

from ronkms.capability.clock import FixedClock
from ronkms.capability.explanation import Asked, Explanation, explain
from ronkms.capability.pattern import ANY
from ronkms.capability.token import VerifiedToken
from ronkms.capability.verifier import BiscuitVerifier
from ronkms.config.settings import Settings
from ronkms.domain.algorithm import Usage, algorithm
from ronkms.domain.key import Key, check_key_id
from ronkms.domain.operation import Operation
from ronkms.errors import BadRequest, KmsError
from ronkms.policy.registry import PolicyRegistry
from ronkms.policy.rollout import signing_version
from ronkms.server.admin_external_policy_messages import Explained
from ronkms.server.admin_messages import ExplainArguments
from ronkms.store.protocol import KeyStore


class ExplanationContext(Protocol):
    """What the operation needs of ``ronkms.app.Application``."""

    @property
    def settings(self) -> Settings: ...
    @property
    def capabilities(self) -> BiscuitVerifier: ...
    @property
    def policy_registry(self) -> PolicyRegistry: ...
    @property
    def store(self) -> KeyStore: ...


class ExternalExplanation(Protocol):
    """``ronkms.server.admin_external_policy.ExternalPolicyAdmin``."""

    def explain(self, explanation: Explanation, arguments: ExplainArguments, /) -> Explained: ...


class ExplainOperation:
    """Answers from the state as it is, for any time; nothing that is asked here is done."""

    def __init__(self, context: ExplanationContext, external: ExternalExplanation) -> None:
        self._context = context
        self._external = external

    def explain(self, arguments: ExplainArguments) -> Explained:
        """Raises BadRequest for a malformed request, not for a bad token."""
        if arguments.key_id:
            check_key_id(arguments.key_id)
        if arguments.alg:
            algorithm(arguments.alg)
        digest = _sha256(arguments.digest, "digest")
        _sha256(arguments.client_cert, "client_cert")
        at = int(time.time()) if arguments.time is None else int(arguments.time.timestamp())

        def asked(held: VerifiedToken) -> Asked:
            return Asked(
                op=arguments.op,
                key_id=arguments.key_id or (None if arguments.op is Operation.IMPORT else ANY),
                algs=[arguments.alg] if arguments.alg else self._algs(held.tenant, arguments),
                message_digest=digest,
                client_cert=arguments.client_cert,
                bind_required=self._context.settings.cap_bind_required,
            )

        by_capability = explain(self._context.capabilities.as_of(FixedClock(at)), arguments.token, asked)
        return self._external.explain(by_capability, arguments)

    def _algs(self, tenant: str, arguments: ExplainArguments) -> list[str]:
        """Those that a request on the key is decided for."""
        if not arguments.key_id:
            return []
        self._context.store.refresh()
        key = self._context.store.find(tenant, arguments.key_id)
        if key is None:
            return []
        algs = [key.alg]
        if arguments.op is Operation.SIGN and key.usage is Usage.SIGN:
            algs += [alg for alg in self._signing_alg(key) if alg not in algs]
        return algs

    def _signing_alg(self, key: Key) -> list[str]:
        try:
            decision = self._context.policy_registry.decide(key.tenant, key.key_id)
            return [signing_version(key, decision).alg]
        except KmsError:  # no version signs; that is another answer than a denial
            return []


def _sha256(text: str, field: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b"?"
    if text != value.hex() or len(value) not in (0, 32):
        raise BadRequest(f"{field} is a SHA-256 in 64 lower-case hex digits", field=f"/{field}")
    return value
