"""The admin operations ``policy.external*``: how it stands, a question on trial, forgetting."""

from __future__ import annotations

import secrets
from time import perf_counter
from typing import Final, Protocol

import msgspec

from ronkms.api.routes import ROUTES
from ronkms.capability.explanation import Explanation
from ronkms.domain.key import Key
from ronkms.domain.measure import EXTERNAL_POLICY
from ronkms.errors import BadRequest, NotFound, PolicyUnavailable
from ronkms.policy.external.decisions import ALLOWED, DENIED
from ronkms.policy.external.operation_class import OperationClass
from ronkms.policy.external.question import Question
from ronkms.server import admin_external_policy_messages as messages
from ronkms.server.admin_messages import ExplainArguments, NoArguments
from ronkms.server.external_policy_health import ExternalPolicyHealth
from ronkms.service.external_policy import ExternalPolicy, question_of, stored_key

_OPERATIONS: Final = {route.action: route.op for route in ROUTES}


class Keys(Protocol):
    """``ronkms.store.protocol.KeyStore``."""

    def refresh(self) -> None: ...
    def find(self, tenant: str, key_id: str) -> Key | None: ...


class Generations(Protocol):
    """``ronkms_native.Arena``."""

    def bump(self, generation: int) -> int: ...


class ExternalPolicyAdmin:
    """For the admin process."""

    def __init__(
        self,
        policy: ExternalPolicy,
        health: ExternalPolicyHealth,
        *,
        url: str,
        keys: Keys,
        generations: Generations,
    ) -> None:
        self._policy = policy
        self._health = health
        self._url = url
        self._keys = keys
        self._generations = generations

    def show(self, arguments: messages.ExternalArguments) -> messages.ExternalView:
        """Asks the decision point if there is an action to ask about. Raises BadRequest."""
        open_classes = self._policy.fail_open
        return messages.ExternalView(
            url=self._url,
            up=self._health.up(),
            fault=self._health.probe.fault,
            fail_open=[name.value for name in OperationClass if name in open_classes],
            fail_closed=[name.value for name in OperationClass if name not in open_classes],
            workers=[
                messages.WorkerRow(
                    worker.row, worker.breaker.name.lower(), worker.fault or "", worker.fault_at
                )
                for worker in self._health.workers()
            ],
            tried=self._try(self._question(arguments)) if arguments.action else None,
        )

    def explain(self, explanation: Explanation, arguments: ExplainArguments) -> messages.Explained:
        """Adds its own decision, if the capability grants the request and there is an action to ask about.

        Raises BadRequest: no such action, or not one of that operation."""
        explained = messages.Explained(**msgspec.structs.asdict(explanation), external=True)
        if not arguments.action:
            return explained
        question = self._question(
            messages.ExternalArguments(
                action=arguments.action,
                tenant=explanation.tenant,
                key_id=arguments.key_id,
                alg=arguments.alg,
                token_id=explanation.token_id,
                client_cert_sha256=arguments.client_cert,
                source=arguments.source,
            )
        )
        if question.operation != arguments.op:
            raise BadRequest(f"{arguments.action} needs the right {question.operation}, not {arguments.op}")
        if not explanation.allowed:
            return explained
        return msgspec.structs.replace(
            explained,
            fails_open=question.operation_class in self._policy.fail_open,
            tried=self._try(question),
        )

    def flush(self, _: NoArguments) -> messages.Flushed:
        """No worker goes by a decision that it remembers, from the return on."""
        return messages.Flushed(self._generations.bump(EXTERNAL_POLICY))

    def _question(self, arguments: messages.ExternalArguments) -> Question:
        operation = _OPERATIONS.get(arguments.action)
        if operation is None:
            raise BadRequest(f"no action of that name; there are {', '.join(sorted(_OPERATIONS))}")
        facts = None
        alg = arguments.alg
        if arguments.key_id:
            self._keys.refresh()
            key = self._keys.find(arguments.tenant, arguments.key_id)
            facts = stored_key(arguments.key_id, key)
            alg = alg or (key.alg if key is not None else "")
        return question_of(
            arguments.tenant,
            operation,
            arguments.action,
            token_id=arguments.token_id,
            client_cert=arguments.client_cert_sha256,
            source=arguments.source,
            items=arguments.items,
            alg=alg,
            key=facts,
        )

    def _try(self, question: Question) -> messages.Tried:
        began = perf_counter()
        try:
            answer = self._policy.decisions.ask_anew(question, secrets.token_hex(16))
        except PolicyUnavailable as error:
            return messages.Tried(
                messages.NO_DECISION, f"{error.fault}: {error.reason}", "", _milliseconds(began)
            )
        decision = ALLOWED if answer.allow else DENIED
        return messages.Tried(decision, answer.reason, answer.decision_id, _milliseconds(began))


class NoExternalPolicy:
    """Stands where there is none."""

    def explain(self, explanation: Explanation, _: ExplainArguments) -> messages.Explained:
        """The capability alone decides."""
        return messages.Explained(**msgspec.structs.asdict(explanation))

    def show(self, _: messages.ExternalArguments) -> messages.ExternalView:
        """Raises NotFound."""
        raise NotFound("there is no external policy: policy_url is not set")

    def flush(self, _: NoArguments) -> messages.Flushed:
        """Raises NotFound."""
        raise NotFound("there is no external policy: policy_url is not set")


def _milliseconds(began: float) -> float:
    return round((perf_counter() - began) * 1000, 1)
