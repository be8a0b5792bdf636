"""The external policy in the way of every operation, over the whole API and a decision point in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ronkms.api.routes import ROUTES
from ronkms.domain.measure import EXTERNAL_POLICY, EXTERNAL_POLICY_CLASSES, EXTERNAL_POLICY_OUTCOMES
from ronkms.domain.operation import Operation
from ronkms.policy.external.decision_point import Fault, PointError
from ronkms.policy.external.decisions import ALLOWED, DENIED
from ronkms.policy.external.operation_class import OperationClass, class_of
from ronkms.service.external_policy import MAX_QUESTIONS
from tests.fakes.api import PEER, FakeApi, b64
from tests.fakes.external_policy import FakePoint, fake_external_policy

ED25519 = "Ed25519"


class Guarded(FakeApi):
    """``point`` decides."""

    def __init__(self, directory: Path, **more: Any) -> None:
        self.point = FakePoint()
        super().__init__(directory, external=lambda arena: fake_external_policy(arena, self.point, **more))

    def prepared(self) -> Guarded:
        """With keys ``k``, ``w`` and ``j``, and nothing asked yet."""
        for key_id in ("k", "j"):
            self.create(ED25519, key_id, labels={"env": "prod"})
        self.create("AES-256-GCM", "w")
        self.signature = self.post("sign", {"key_id": "k", "message": b64(b"m")}).json["signature"]
        self.wrapped = self.post("wrap", {"key_id": "w", "plaintext": b64(b"p")}).json["ciphertext"]
        self.arena.bump(EXTERNAL_POLICY)
        self.point.asked.clear()
        self.audit.records.clear()
        return self

    def fails(self, fault: Fault = Fault.TIMEOUT) -> None:
        def fail(_: dict[str, Any]) -> None:
            raise PointError(fault, "hidden cause")

        self.point.decide = fail


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Guarded]:
    return lambda **more: Guarded(tmp_path, **more).prepared()


OPERATIONS: dict[str, tuple[str, str, Any]] = {
    "sign": ("POST", "/v1/kms/sign", {"key_id": "k", "message": b64(b"x")}),
    "verify": ("POST", "/v1/kms/verify", {"key_id": "k", "message": b64(b"m"), "signature": ...}),
    "wrap": ("POST", "/v1/kms/wrap", {"key_id": "w", "plaintext": b64(b"p")}),
    "unwrap": ("POST", "/v1/kms/unwrap", {"key_id": "w", "ciphertext": ...}),
    "datakey": ("POST", "/v1/kms/datakey", {"key_id": "w", "bytes": 32}),
    "create_key": ("POST", "/v1/kms/keys", {"alg": ED25519, "usage": "sign", "key_id": "new"}),
    "list_keys": ("GET", "/v1/kms/keys", None),
    "describe_key": ("GET", "/v1/kms/keys/k", None),
    "public_key": ("GET", "/v1/kms/keys/k/public", None),
    "jwks": ("GET", "/v1/kms/jwks", None),
    "rotate_key": ("POST", "/v1/kms/keys/rotate", {"key_id": "k"}),
    "rotate": ("POST", "/v1/kms/rotate", {"key_id": "k"}),
    "disable_key": ("POST", "/v1/kms/keys/j/disable", None),
    "enable_key": ("POST", "/v1/kms/keys/j/enable", None),
    "destroy_key": ("POST", "/v1/kms/keys/j/destroy", None),
    "restore_key": ("POST", "/v1/kms/keys/j/restore", None),
    "key_policy": ("POST", "/v1/kms/keys/k/policy", {"min_version": 1}),
    "import_params": ("POST", "/v1/kms/keys/import/params", None),
    "import_key": (
        "POST",
        "/v1/kms/keys/import",
        {"import_id": "0" * 32, "wrapped_key": "AAAA", "alg": ED25519, "usage": "sign", "key_id": "i"},
    ),
}
ACTIONS = {route.name: (route.op, route.action) for route in ROUTES}
NO_KEY = {"list_keys", "jwks", "import_params"}


def run(api: Guarded, name: str) -> Any:
    method, path, body = OPERATIONS[name]
    if isinstance(body, dict):
        filled = {"signature": api.signature, "ciphertext": api.wrapped}
        body = {member: filled[member] if value is ... else value for member, value in body.items()}
    return api.call(method, path, body)


def test_every_route_is_here() -> None:
    assert set(OPERATIONS) == set(ACTIONS)
    unanswered = {Fault.TIMEOUT, Fault.UNREACHABLE, Fault.BAD_ANSWER}
    assert set(EXTERNAL_POLICY_OUTCOMES) == {ALLOWED, DENIED, *unanswered}
    assert tuple(OperationClass) == EXTERNAL_POLICY_CLASSES


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_asked_about_once_before_it_is_done(
    make: Callable[..., Guarded], name: str
) -> None:
    api = make()
    operation, action = ACTIONS[name]
    answer = run(api, name)
    (asked,) = api.point.asked
    expected = {
        "tenant": "default",
        "operation": operation.value,
        "action": action,
        "class": class_of(operation, action).value,
        "token_id": "token-of-default",
        "client_cert_sha256": None,
        "source": PEER,
        "items": 1,
        "v": 1,
    }
    assert {member: asked[member] for member in expected} == expected
    assert (asked["key"] is None) == (name in NO_KEY)
    if answer.status_code in (200, 201):
        assert asked["corr_id"] == answer.headers["X-Correlation-ID"]
    assert not {"message", "digest", "signature", "plaintext", "ciphertext", "token"} & set(asked)
    if asked["key"] is not None:
        state = "new" if name in ("create_key", "import_key") else "enabled"
        assert asked["key"]["state"] == state
        assert asked["key"]["labels"] == ({"env": "prod"} if asked["key"]["id"] in "kj" else {})


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_denial_is_the_403_of_every_other_and_changes_nothing(
    make: Callable[..., Guarded], name: str
) -> None:
    api = make()
    others = api.call("GET", "/v1/kms/keys/k", token="default;sign;*").json
    before = api.store.find("default", "k"), api.store.find("default", "j")
    api.audit.records.clear()
    api.point.decide = lambda _: {"allow": False, "reason": "freeze until Monday"}
    answer = run(api, name)
    assert answer.status_code == 403
    cause = "external policy: freeze until Monday (d-7)"
    assert {**answer.json, "corr_id": ""} == {**others, "corr_id": "", "reason": cause}, (
        "told to an admin alone"
    )
    assert (api.store.find("default", "k"), api.store.find("default", "j")) == before
    assert api.store.find("default", "new") is None
    (record,) = api.audit.records
    assert record["detail"] == cause
    assert (record["outcome"], record["code"]) == ("denied", "denied")
    assert api.counter("kms_reject_total|external_policy") == 1
    assert api.counter("rejected_total|denied") >= 1


@pytest.mark.parametrize("name", OPERATIONS)
def test_without_an_answer_a_closed_class_is_refused(make: Callable[..., Guarded], name: str) -> None:
    operation, action = ACTIONS[name]
    api = make(fail_open=set(OperationClass) - {class_of(operation, action)})
    api.fails()
    answer = run(api, name)
    assert (answer.status_code, answer.json["code"]) == (503, "policy_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert "hidden cause" not in answer.text
    (record,) = api.audit.records
    assert (record["outcome"], record["code"]) == ("error", "policy_unavailable")
    assert record["detail"] == "external policy: timeout: hidden cause"
    assert api.counter("kms_reject_total|policy_unavailable") == 1


@pytest.mark.parametrize("name", OPERATIONS)
def test_without_an_answer_an_open_class_goes_on_and_the_log_says_so(
    make: Callable[..., Guarded], name: str
) -> None:
    operation, action = ACTIONS[name]
    operation_class = class_of(operation, action)
    api = make(fail_open={operation_class})
    expected = run(api, name).status_code
    assert expected not in (403, 503)
    api.arena.bump(EXTERNAL_POLICY)
    api.audit.records.clear()
    api.fails(Fault.UNREACHABLE)
    if name == "create_key":
        expected = 409
    assert run(api, name).status_code == expected
    assert api.audit.records[-1]["detail"].startswith("external_policy=undecided:unreachable")
    assert api.counter(f"kms_external_policy_fail_open_total|{operation_class}") == 1


def test_it_is_asked_after_the_capability_and_before_the_key_is_told(make: Callable[..., Guarded]) -> None:
    api = make()
    assert api.post("sign", {"key_id": "k", "message": ""}, token="default;verify;*").status_code == 403
    assert api.post("sign", {"key_id": "k", "message": ""}, token="default;sign;other").status_code == 403
    assert api.point.asked == []
    api.point.decide = lambda question: question["key"]["state"] != "absent"
    assert api.post("sign", {"key_id": "nope", "message": ""}).status_code == 403
    assert api.point.asked[-1]["key"] == {"id": "nope", "usage": "", "state": "absent", "labels": {}}
    api.point.decide = lambda _: True
    assert api.post("sign", {"key_id": "none", "message": ""}).status_code == 404


def test_what_is_shed_is_not_asked_about(tmp_path: Path) -> None:
    point = FakePoint()
    api = FakeApi(tmp_path, inflight_sign=1, external=lambda arena: fake_external_policy(arena, point))
    permit = api.arena.admit(0, b"default", 1)
    assert api.post("sign", {"key_id": "k", "message": ""}).status_code in (429, 503)
    api.arena.release(permit)
    assert point.asked == []


def test_a_key_in_another_state_is_another_question(make: Callable[..., Guarded]) -> None:
    api = make()
    body = {"key_id": "k", "message": b64(b"x")}
    for _ in range(3):
        assert api.post("sign", body).status_code == 200
    assert api.call("POST", "/v1/kms/keys/k/disable").status_code == 200
    assert api.post("sign", body).status_code == 409
    states = [asked["key"]["state"] for asked in api.point.asked if asked["action"] == "sign"]
    assert states == ["enabled", "disabled"]


def test_an_inline_key_has_no_key_facts(make: Callable[..., Guarded]) -> None:
    api = make()
    jwk = api.get("keys/k/public").json
    api.point.asked.clear()
    inline = {member: jwk[member] for member in ("kty", "crv", "x")}
    body = {"public_key": inline, "message": b64(b"m"), "signature": api.signature}
    assert api.post("verify", body).json["valid"] is True
    (asked,) = api.point.asked
    assert (asked["key"], asked["alg"]) == (None, ED25519)
    forwarded = {"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1"}
    assert api.post("verify", body, headers=forwarded).status_code == 200
    assert len(api.point.asked) == 1


@pytest.mark.parametrize("plain", [True, False])
def test_a_batch_is_one_question_for_each_key(make: Callable[..., Guarded], plain: bool) -> None:
    api = make(cache_ttl=0.0)
    api.capabilities.binds_message = not plain
    api.point.decide = lambda question: question["key"]["id"] != "j"
    items = [{"key_id": key_id, "message": b64(b"%d" % n)} for n in range(5) for key_id in ("k", "j", "none")]
    answered = api.post("sign", {"items": items}).json["items"]
    assert [item["status"] for item in answered] == [200, 403, 404] * 5
    assert sorted(asked["key"]["id"] for asked in api.point.asked) == ["j", "k", "none"]
    assert {asked["items"] for asked in api.point.asked} == {15}
    (record,) = api.audit.records
    assert record["detail"] == "failed=10 denied=5 invalid=0 first_denied=external policy: denied (d-7)"
    assert record["items"] == 15
    assert api.counter("kms_reject_total|external_policy") == (1 if plain else 5)


@pytest.mark.parametrize("plain", [True, False])
def test_a_batch_of_verifications_too(make: Callable[..., Guarded], plain: bool) -> None:
    api = make()
    assert api.post("keys/rotate", {"key_id": "k"}).status_code == 200
    api.point.asked.clear()
    api.capabilities.binds_message = not plain
    item = {"key_id": "k", "message": b64(b"m"), "signature": api.signature}
    answered = api.post("verify", {"items": [item] * 3}).json["items"]
    assert [each["result"]["valid"] for each in answered] == [True] * 3
    assert len(api.point.asked) == 1
    api.arena.bump(EXTERNAL_POLICY)
    api.point.decide = lambda _: False
    answered = api.post("verify", {"items": [item] * 4}).json["items"]
    assert [each["status"] for each in answered] == [403] * 4
    assert api.audit.records[-1]["outcome"] == "denied"


def test_a_batch_without_answers(make: Callable[..., Guarded]) -> None:
    api = make(fail_open={OperationClass.VERIFY})
    api.fails()
    items = [{"key_id": key_id, "message": b64(b"m")} for key_id in ("k", "j")]
    answered = api.post("sign", {"items": items}).json["items"]
    assert [(item["status"], item["error"]["code"]) for item in answered] == [(503, "policy_unavailable")] * 2
    record = api.audit.records[-1]
    assert record["outcome"] == "error"
    assert record["detail"] == "failed=2 denied=0 invalid=0 first_undecided=timeout: hidden cause"
    item = {"key_id": "k", "message": b64(b"m"), "signature": api.signature}
    answered = api.post("verify", {"items": [item, item]}).json["items"]
    assert [each["status"] for each in answered] == [200, 200]
    assert api.audit.records[-1]["detail"].startswith("external_policy=undecided:timeout failed=0")


@pytest.mark.parametrize("fail_open", [False, True])
def test_a_batch_asks_only_so_much_and_the_rest_finds_it_remembered(
    make: Callable[..., Guarded], fail_open: bool
) -> None:
    api = make(fail_open=set(OperationClass) if fail_open else ())
    items = [{"key_id": f"none-{number}", "message": b64(b"m")} for number in range(MAX_QUESTIONS + 10)]
    statuses = [item["status"] for item in api.post("sign", {"items": items}).json["items"]]
    assert statuses == [404] * MAX_QUESTIONS + [503] * 10
    assert len(api.point.asked) == MAX_QUESTIONS
    statuses = [item["status"] for item in api.post("sign", {"items": items}).json["items"]]
    assert statuses == [404] * len(items)


def test_a_batch_goes_on_without_asking_while_the_breaker_is_open(make: Callable[..., Guarded]) -> None:
    api = make(fail_open={OperationClass.SIGN}, breaker_failures=3)
    api.fails()
    items = [{"key_id": f"none-{number}", "message": b64(b"m")} for number in range(MAX_QUESTIONS * 2)]
    statuses = {item["status"] for item in api.post("sign", {"items": items}).json["items"]}
    assert statuses == {404}
    assert len(api.point.asked) == 3


def test_questions_and_lookups_are_counted(make: Callable[..., Guarded]) -> None:
    api = make()
    before = {
        name: api.counter(name)
        for name in ("kms_external_policy_requests_total|allow", "kms_external_policy_cache_total|hit")
    }
    for _ in range(4):
        api.post("sign", {"key_id": "j", "message": ""})
    assert (
        api.counter("kms_external_policy_requests_total|allow")
        - before["kms_external_policy_requests_total|allow"]
        == 1
    )
    assert (
        api.counter("kms_external_policy_cache_total|hit") - before["kms_external_policy_cache_total|hit"]
        == 3
    )
    rows = {op for op, _, counts, _ in api.arena.snapshot().histograms if sum(counts)}
    assert "external_policy" in rows


def test_every_operation_is_in_some_route_or_has_none() -> None:
    assert {op for op, _ in ACTIONS.values()} <= set(Operation)
