"""The external policy in the way of a request: what is asked about it, and what holds without an answer.

Invariants: only an explicit allow lets a request go on, or the lack of any answer in a class that the
operator lets fail open; a request asks one question once; what a batch may not ask any more is refused in
every class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Final

from ronkms.domain.algorithm import Algorithm
from ronkms.domain.key import Key
from ronkms.domain.operation import Operation
from ronkms.errors import Denied, PolicyUnavailable
from ronkms.policy.external.answer import Answer
from ronkms.policy.external.decision_point import Fault
from ronkms.policy.external.decisions import Decision, Decisions
from ronkms.policy.external.operation_class import OperationClass, class_of
from ronkms.policy.external.question import ABSENT, NEW, KeyFacts, Question

if TYPE_CHECKING:
    from ronkms.service.call import Call

MAX_QUESTIONS: Final = 128
"""That one request may send."""
MAX_TIMEOUTS: Final = 10
"""No question of a request is sent later than so many time-outs after its first."""


class ExternalPolicy:
    """One a server; asks in whichever process it is used."""

    def __init__(
        self,
        decisions: Decisions,
        *,
        fail_open: frozenset[OperationClass],
        count: Callable[[str], None],
    ) -> None:
        """``count`` takes a counter's name (``domain.measure``)."""
        self.decisions = decisions
        self.fail_open = fail_open
        self.count = count

    def inquiry(self, call: Call, action: str, source: str) -> Inquiry:
        """For one request. ``action``: ``operationId`` of the API. ``source``: the peer's address, may be
        empty."""
        return Inquiry(self, call, action, source)

    def allowed(self, question: Question) -> Decision | None:
        """An allow that is remembered and holds now."""
        found = self.decisions.remembered(question)
        return found if found is not None and found.answer.allow else None


class Inquiry:
    """All questions about one request. Belongs to one thread. ``items``: of a batch; 0 for a single
    request."""

    __slots__ = (
        "_action",
        "_asked",
        "_call",
        "_first_asked_at",
        "_outcomes",
        "_policy",
        "_source",
        "items",
        "undecided",
    )

    def __init__(self, policy: ExternalPolicy, call: Call, action: str, source: str) -> None:
        self._policy = policy
        self._call = call
        self._action = action
        self._source = source
        self._outcomes: dict[bytes, Answer | PolicyUnavailable | None] = {}
        self._asked = 0
        self._first_asked_at = 0.0
        self.items = 0
        self.undecided = ""
        """For the audit record: that something went on without a decision, and why. Empty: nothing did."""

    def require_stored(self, key_id: str, key: Key | None, alg: str) -> None:
        """The decision on a stored key, or on one that does not exist. Raises Denied, PolicyUnavailable."""
        self._require(alg, stored_key(key_id, key))

    def require_new(self, key_id: str, row: Algorithm, labels: Mapping[str, str]) -> None:
        """The decision on a key that is to be made. Raises Denied, PolicyUnavailable."""
        self._require(row.name, KeyFacts(key_id, row.usage.value, NEW, labels))

    def require_no_key(self, alg: str) -> None:
        """The decision on an operation on no single stored key. Raises Denied, PolicyUnavailable."""
        self._require(alg, None)

    def _require(self, alg: str, key: KeyFacts | None) -> None:
        call = self._call
        question = question_of(
            call.tenant,
            call.op,
            self._action,
            token_id=call.capability.token_id,
            client_cert=call.client_cert,
            source=self._source,
            items=self.items or 1,
            alg=alg,
            key=key,
        )
        name = question.name()
        if name not in self._outcomes:
            self._outcomes[name] = self._outcome(question)
        outcome = self._outcomes[name]
        if isinstance(outcome, PolicyUnavailable):
            self._policy.count("kms_reject_total|policy_unavailable")
            raise PolicyUnavailable(
                retry_after=outcome.retry_after, fault=outcome.fault, reason=outcome.reason
            )
        if outcome is not None and not outcome.allow:
            self._policy.count("kms_reject_total|external_policy")
            decision = f" ({outcome.decision_id})" if outcome.decision_id else ""
            raise Denied(reason=f"external policy: {outcome.reason or 'denied'}{decision}")

    def _outcome(self, question: Question) -> Answer | PolicyUnavailable | None:
        """None: no answer, and the class fails open."""
        policy = self._policy
        try:
            return policy.decisions.decide(question, self._call.corr_id, self._before_asking)
        except PolicyUnavailable as error:
            operation_class = question.operation_class
            if error.fault == Fault.TOO_MANY_KEYS or operation_class not in policy.fail_open:
                return error
            policy.count(f"kms_external_policy_fail_open_total|{operation_class}")
            self.undecided = f"external_policy=undecided:{error.fault}"
            return None

    def _before_asking(self) -> None:
        now = monotonic()
        if not self._asked:
            self._first_asked_at = now
        late = now - self._first_asked_at >= MAX_TIMEOUTS * self._policy.decisions.timeout
        if self._asked >= MAX_QUESTIONS or late:
            raise PolicyUnavailable(
                fault=Fault.TOO_MANY_KEYS,
                reason=f"after {self._asked} questions: send the rest again, or fewer keys in a batch",
            )
        self._asked += 1


def stored_key(key_id: str, key: Key | None) -> KeyFacts:
    """``key`` None: there is none of that id."""
    if key is None:
        return KeyFacts(key_id, "", ABSENT, {})
    return KeyFacts(key_id, key.usage.value, key.state.value, key.labels)


def question_of(
    tenant: str,
    operation: Operation,
    action: str,
    *,
    token_id: str,
    client_cert: str,
    source: str,
    items: int,
    alg: str,
    key: KeyFacts | None,
) -> Question:
    """``client_cert``, ``source``: empty if there is none."""
    return Question(
        tenant=tenant,
        operation=operation.value,
        action=action,
        operation_class=class_of(operation, action),
        token_id=token_id,
        client_cert_sha256=client_cert or None,
        source=source or None,
        items=items,
        alg=alg,
        key=key,
    )
