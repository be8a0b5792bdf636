"""The admin operations on the policy, over a real sealed journal."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import AuditUnavailable, BadRequest, Conflict, Denied, Unauthenticated
from ronkms.policy.entry import DefaultsSet
from ronkms.policy.pq import VerifyMode
from ronkms.policy.registry import PolicyRegistry
from ronkms.server import admin_policy_messages as messages
from ronkms.server.admin_policy import PRINCIPAL, PolicyOperations
from tests.fakes.anchors import FakeAnchors
from tests.fakes.audit import FakeAudit
from tests.fakes.capabilities import FakeCapabilities
from tests.fakes.generation import SharedGeneration
from tests.unit.capability.issuer import START, SettableClock

OR, AND, PQ_ONLY = VerifyMode
DEFAULTS = DefaultsSet(OR, False, 0, int(START))
FIRST, SECOND = "acme;admin;*", "acme;admin,sign;*"


def mac(label: str, data: bytes) -> bytes:
    return hmac.digest(b"k" * 32, label.encode() + data, hashlib.sha256)


class DistinctCapabilities(FakeCapabilities):
    """A token's id is the token, so that two tokens of a tenant differ."""

    def authenticate(self, token: str):  # type: ignore[no-untyped-def]
        capability = super().authenticate(token)
        capability.token_id = token
        return capability


class Context:
    """The application's part that policy operations need."""

    def __init__(self, directory: Path) -> None:
        self.clock = SettableClock()
        self.generation = SharedGeneration()
        self.audit = FakeAudit()
        self.capabilities = DistinctCapabilities()
        self.policy_registry = PolicyRegistry.open(
            directory, mac=mac, signal=self.generation.signal, anchors=FakeAnchors(), clock=self.clock
        )
        if self.policy_registry.state.defaults.at == 0:
            self.policy_registry.change(lambda _: DEFAULTS)
        self.events: list[tuple[str, dict[str, str | int]]] = []

    def publish(self, event: str, fields: Mapping[str, str | int]) -> None:
        self.events.append((event, dict(fields)))


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    made = Context(tmp_path)
    yield made
    made.policy_registry.close()


@pytest.fixture
def policy(context: Context) -> PolicyOperations:
    return PolicyOperations(context)  # type: ignore[arg-type]


def exception(
    requester: str = FIRST, approver: str = SECOND, ttl: int = 60, tenant: str = "acme", key_id: str = ""
) -> messages.ExceptArguments:
    return messages.ExceptArguments(
        tenant=tenant,
        key_id=key_id,
        name="CHG-1",
        reason="old verifiers",
        verify_mode=OR,
        ttl=ttl,
        requester_token=requester,
        approver_token=approver,
    )


def test_what_is_set_holds_is_shown_and_told(context: Context, policy: PolicyOperations) -> None:
    before = context.generation.load()
    view = policy.set(messages.SetArguments("acme", produce_hybrid=True, rollout_percent=10))
    assert (view.verify_mode, view.produce_hybrid, view.rollout_percent) == (OR, True, 10)
    assert (view.verify_mode_source, view.rollout_percent_source) == ("default", "tenant")
    assert context.generation.load() > before
    assert context.events == [
        (
            "PolicyChanged",
            {
                "change": "set",
                "tenant": "acme",
                "key_id": "",
                "verify_mode": "or",
                "produce_hybrid": "true",
                "rollout_percent": 10,
            },
        )
    ]
    assert context.policy_registry.decide("acme", "k").rollout_percent == 10
    assert context.policy_registry.decide("other", "k").rollout_percent == 0
    assert policy.inspect(messages.InspectArguments("acme")) == view


def test_set_keeps_what_it_does_not_name_and_unset_takes_back(policy: PolicyOperations) -> None:
    policy.set(messages.SetArguments("acme", verify_mode=AND))
    policy.set(messages.SetArguments("acme", "k", rollout_percent=50))
    view = policy.set(messages.SetArguments("acme", "k", produce_hybrid=True))
    assert (view.rollout_percent, view.produce_hybrid) == (50, True)
    assert (view.verify_mode, view.verify_mode_source) == (AND, "tenant")
    view = policy.unset(messages.UnsetArguments("acme", "k", produce_hybrid=False))
    assert (view.rollout_percent, view.produce_hybrid) == (0, True)
    view = policy.unset(messages.UnsetArguments("acme"))
    assert (view.verify_mode, view.verify_mode_source) == (OR, "default")


def test_set_of_nothing_is_refused(policy: PolicyOperations) -> None:
    with pytest.raises(BadRequest, match="give a verify_mode"):
        policy.set(messages.SetArguments("acme"))


def test_a_lock_only_tightens(context: Context, policy: PolicyOperations) -> None:
    policy.set(messages.SetArguments("acme", verify_mode=PQ_ONLY))
    locked = policy.lock(messages.LockArguments("acme"))
    assert locked.locks == [messages.LockView("tenant", PQ_ONLY, True)]
    assert policy.lock(messages.LockArguments("acme")).locks == locked.locks
    for attempt in (
        lambda: policy.set(messages.SetArguments("acme", verify_mode=OR)),
        lambda: policy.unset(messages.UnsetArguments("acme")),
        lambda: policy.set(messages.SetArguments("acme", "k", verify_mode=OR)),
    ):
        before = len(context.events)
        with pytest.raises(Conflict, match="locked at pq_only"):
            attempt()
        assert len(context.events) == before
    view = policy.set(messages.SetArguments("acme", verify_mode=AND))
    assert (view.verify_mode, view.classical_excluded) == (AND, True)


def test_an_exception_takes_two_admins_of_the_tenant(context: Context, policy: PolicyOperations) -> None:
    policy.set(messages.SetArguments("acme", verify_mode=AND))
    policy.lock(messages.LockArguments("acme"))
    for requester, approver, refusal in (
        (FIRST, FIRST, Denied),
        (FIRST, "acme;sign;*", Denied),
        (FIRST, "stranger;admin;*", Denied),
        ("nonsense", SECOND, Unauthenticated),
    ):
        with pytest.raises(refusal):
            policy.make_exception(exception(requester, approver))
    with pytest.raises(BadRequest, match="30 days"):
        policy.make_exception(exception(ttl=31 * 24 * 3600))
    view = policy.make_exception(exception())
    assert [(one.scope, one.name, one.verify_mode) for one in view.exceptions] == [("tenant", "CHG-1", OR)]
    assert (view.exceptions[0].requested_by, view.exceptions[0].approved_by) == (FIRST, SECOND)
    assert view.verify_mode is OR
    with pytest.raises(Conflict, match="another exception"):
        policy.make_exception(exception())
    assert policy.end(messages.EndArguments("acme", "CHG-1")).verify_mode is AND
    with pytest.raises(Conflict, match="no exception"):
        policy.end(messages.EndArguments("acme", "CHG-1"))
    assert [event[1]["change"] for event in context.events] == ["set", "lock", "except", "end"]


def test_an_admin_of_some_keys_approves_for_them_alone(policy: PolicyOperations) -> None:
    policy.lock(messages.LockArguments("acme"))
    narrow = "acme;admin;orders-*"
    with pytest.raises(Denied):
        policy.make_exception(exception(approver=narrow))
    assert policy.make_exception(exception(approver=narrow, key_id="orders-1")).exceptions[0].scope == "key"


def test_nothing_locked_takes_no_exception(policy: PolicyOperations) -> None:
    with pytest.raises(Conflict, match="nothing is locked"):
        policy.make_exception(exception())


def test_the_chore_ends_what_has_passed_and_records_it(context: Context, policy: PolicyOperations) -> None:
    policy.set(messages.SetArguments("acme", verify_mode=AND))
    policy.lock(messages.LockArguments("acme"))
    policy.make_exception(exception())
    policy.end_expired()
    assert context.audit.records == []
    context.clock.pass_seconds(61)
    # It is over by the clock, before the chore comes.
    assert policy.inspect(messages.InspectArguments("acme")).verify_mode is AND
    context.audit.closed_from = 0
    with pytest.raises(AuditUnavailable):
        policy.end_expired()
    assert context.policy_registry.state.expired()
    context.audit.closed_from = None
    policy.end_expired()
    assert [
        (record["op"], record["token_id"], record["phase"], record["outcome"])
        for record in context.audit.records
    ] == [
        (Operation.ADMIN, PRINCIPAL, "intent", Outcome.OK),
        (Operation.ADMIN, PRINCIPAL, "outcome", Outcome.OK),
    ]
    assert context.audit.records[0]["detail"] == "policy.end entry=6 name=CHG-1 key_id= reason=expired"
    assert context.events[-1][1]["change"] == "end"
    policy.end_expired()
    assert len(context.audit.records) == 2


def test_all_outlives_the_process(tmp_path: Path, context: Context, policy: PolicyOperations) -> None:
    policy.set(messages.SetArguments("acme", verify_mode=AND, rollout_percent=7))
    policy.lock(messages.LockArguments("acme"))
    again = Context(tmp_path)
    try:
        assert PolicyOperations(again).inspect(  # type: ignore[arg-type]
            messages.InspectArguments("acme")
        ) == policy.inspect(messages.InspectArguments("acme"))
    finally:
        again.policy_registry.close()
