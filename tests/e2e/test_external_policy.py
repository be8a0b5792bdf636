"""The external policy through the real server, against a decision point that is a process of its own."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from ronkms.cli.ronctl_admin import ask
from ronkms.domain.operation import Operation
from ronkms.server.admin_messages import MintArguments, MintedToken
from tests.e2e.support import raw_http
from tests.e2e.support.audit_records import read_records
from tests.e2e.support.decision_point_process import DecisionPointProcess
from tests.eventually import eventually
from tests.integration.certificates import Authority
from tests.server_process import ServerProcess, free_port

WORKERS = 3
FRESH_CONNECTIONS = 24
SECRET = b"a message that nobody else may see"
MESSAGE = base64.b64encode(SECRET).decode()
PATIENT = {"KMS_POLICY_TIMEOUT_MS": "10000"}
"""So that a busy machine is no fault."""
HASTY = {
    "KMS_POLICY_TIMEOUT_MS": "400",
    "KMS_POLICY_CACHE_TTL_MS": "0",
    "KMS_POLICY_BREAKER_FAILURES": "2",
    "KMS_POLICY_BREAKER_COOLDOWN_MS": "300",
}
LIFE_MS = 700
OPEN = ("verify", "read", "lifecycle")


class Tenant:
    """A tenant of its own, so that tests do not meet in what is remembered."""

    def __init__(self, server: ServerProcess, name: str) -> None:
        self.server = server
        self.name = name
        operations = [operation for operation in Operation if operation is not Operation.ADMIN]
        minted = ask(server.data_dir, "cap.mint", MintedToken, MintArguments(name, operations, 3600))
        self.token, self.token_id = minted.token, minted.token_id

    def post(self, path: str, body: Any = None, method: str = "POST") -> raw_http.Answer:
        """On a fresh connection, so that any worker may take it."""
        headers = [("Authorization", f"Bearer {self.token}"), ("Content-Type", "application/json")]
        content = b"" if body is None else json.dumps(body).encode()
        return raw_http.exchange(
            self.server.api_url, raw_http.request(method, f"/v1/kms/{path}", headers, content)
        )

    def ok(self, path: str, body: Any = None, method: str = "POST") -> Any:
        answer = self.post(path, body, method)
        assert answer.status in (200, 201), (path, answer.status, answer.body)
        return answer.json()

    def many(self, path: str, body: Any) -> set[int]:
        """Statuses of the same request on many connections at a time, so that every worker takes some."""
        with ThreadPoolExecutor(8) as pool:
            return {
                answer.status
                for answer in pool.map(lambda _: self.post(path, body), range(FRESH_CONNECTIONS))
            }

    def create(self, key_id: str, alg: str = "Ed25519", **more: Any) -> None:
        usage = "wrap" if alg.startswith("AES") else "sign"
        self.ok("keys", {"key_id": key_id, "alg": alg, "usage": usage, **more})

    def sign(self, key_id: str = "k") -> raw_http.Answer:
        return self.post("sign", signing(key_id))

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=f"{self.server.api_url}/v1/kms", headers=headers, timeout=60)


def signing(key_id: str = "k") -> dict[str, str]:
    return {"key_id": key_id, "message": MESSAGE}


def verifying(tenant: Tenant) -> dict[str, str]:
    return {**signing(), "signature": tenant.ok("sign", signing())["signature"]}


def metric(server: ServerProcess, line: str) -> float:
    text = httpx.get(f"{server.admin_url}/metrics", timeout=30).text
    found = [float(row.rpartition(" ")[2]) for row in text.splitlines() if row.startswith(line)]
    assert found, line
    return sum(found)


@pytest.fixture
def point() -> Iterator[DecisionPointProcess]:
    with DecisionPointProcess() as running:
        yield running


def serve(
    tmp_path: Path, point: DecisionPointProcess, *, workers: int = WORKERS, **env: str
) -> ServerProcess:
    return ServerProcess(
        tmp_path / "data",
        env={"KMS_WORKERS": str(workers), "KMS_POLICY_URL": point.url} | PATIENT | env,
    )


def test_rules_on_facts_decide(tmp_path: Path, point: DecisionPointProcess) -> None:
    with serve(tmp_path, point) as server:
        tenant = Tenant(server, "facts")
        tenant.create("k", labels={"env": "prod"})
        tenant.create("free", labels={"env": "test"})
        tenant.create("w", "AES-256-GCM")
        frozen = {"allow": False, "reason": "change freeze, see CHG-7"}
        point.behave(
            rules=[
                {"match": {"env": "prod", "operation": "sign"}, "result": frozen},
                {"match": {"action": "datakey"}, "result": False},
                {"match": {"action": "jwks"}, "result": "undefined"},
                {"match": {"token_id": tenant.token_id}, "result": {"allow": True, "more": 1}},
            ],
            default=False,
        )
        assert tenant.sign("free").status == 200
        refused = tenant.sign("k")
        unknown = raw_http.exchange(
            server.api_url,
            raw_http.request(
                "GET", "/v1/kms/keys/k", [("Authorization", f"Bearer {server.mint(op=['sign'])}")]
            ),
        )
        assert (refused.status, unknown.status) == (403, 403)
        assert {**refused.json(), "corr_id": ""} == {**unknown.json(), "corr_id": ""}
        assert tenant.post("wrap", {"key_id": "w", "plaintext": MESSAGE}).status == 200
        assert tenant.post("datakey", {"key_id": "w", "bytes": 32}).status == 403
        assert tenant.post("jwks", method="GET").status == 403
        other = Tenant(server, "other")
        assert other.post("keys", method="GET").status == 403
        items = [signing("k"), signing("free"), signing("none"), signing("free")]
        answered = tenant.ok("sign", {"items": items})["items"]
        assert [item["status"] for item in answered] == [403, 200, 404, 200]
        batch = point.asked(items=4)
        assert sorted(question["key"]["id"] for question in batch) == ["free", "k", "none"]
        (asked,) = [each for each in point.asked(action="sign", items=1) if each["key"]["id"] == "k"]
        assert asked["token_id"] == tenant.token_id
        assert asked["source"] == "127.0.0.1"
        assert asked["key"] == {
            "id": "k",
            "usage": "sign",
            "state": "enabled",
            "labels": {"env": "prod"},
        }
        told = json.dumps(point.told())
        for secret in (SECRET.decode(), MESSAGE, tenant.token, tenant.token[:40]):
            assert secret not in told
        records = {record["corr_id"]: record for record in read_records(server.data_dir)}
        denial = records[refused.headers["X-Correlation-ID"]]
        assert denial["detail"] == f"external policy: change freeze, see CHG-7 (d-{asked['corr_id'][:16]})"
        assert denial["outcome"] == "denied"
        assert metric(server, 'kms_reject_total{reason="external_policy"}') == 5
        assert metric(server, 'kms_external_policy_requests_total{outcome="deny"}') >= 5
        assert metric(server, "kms_external_policy_latency_seconds_count") >= 8
        assert metric(server, "kms_external_policy_up") == 1
        assert metric(server, 'kms_external_policy_breaker{state="closed"}') == WORKERS
        assert 'op="external_policy"' not in httpx.get(f"{server.admin_url}/metrics").text


def test_the_engine_answers_only_what_was_allowed_lately(tmp_path: Path, point: DecisionPointProcess) -> None:
    """One worker, with taught engine and warm verify cache; decisions outlive the test."""
    with serve(tmp_path, point, workers=1, KMS_POLICY_CACHE_TTL_MS="3600000") as server:
        tenant = Tenant(server, "engine")
        tenant.create("k")
        body = verifying(tenant)
        with tenant.client() as client:
            for _ in range(5):
                assert client.post("/sign", json=signing()).status_code == 200
                assert client.post("/verify", json=body).json()["valid"] is True
            looked_up = metric(server, "kms_external_policy_cache_total")
            for _ in range(20):
                assert client.post("/sign", json=signing()).status_code == 200
                assert client.post("/verify", json=body).json()["cache"] == "hit"
            assert metric(server, "kms_external_policy_cache_total") == looked_up, "the engine served them"
            point.behave(default=False)
            assert client.post("/sign", json=signing()).status_code == 200
            server.ronctl("policy", "external", "--flush")
            assert client.post("/sign", json=signing()).status_code == 403
            assert client.post("/verify", json=body).status_code == 403
            point.behave()
            server.ronctl("policy", "external", "--flush")
            for _ in range(3):
                assert client.post("/sign", json=signing()).status_code == 200
                assert client.post("/verify", json=body).status_code == 200
            # A change of the other policy, and a revocation of whichever token, end what is remembered too.
            point.behave(default=False)
            server.ronctl("policy", "set", "--tenant", "engine", "--rollout-percent", "1")
            assert client.post("/sign", json=signing()).status_code == 403
            assert client.post("/verify", json=body).status_code == 403
            point.behave()
            server.ronctl("policy", "external", "--flush")
            for _ in range(3):
                assert client.post("/sign", json=signing()).status_code == 200
            point.behave(default=False)
            server.ronctl("cap", "revoke", Tenant(server, "leaver").token)
            assert client.post("/sign", json=signing()).status_code == 403
        server.ronctl("audit", "verify")


def test_a_grant_is_for_one_operation_and_key(tmp_path: Path, point: DecisionPointProcess) -> None:
    with serve(tmp_path, point, workers=1) as server:
        tenant = Tenant(server, "narrow")
        for key_id in ("k", "other"):
            tenant.create(key_id)
        body = verifying(tenant)
        point.behave(rules=[{"match": {"key": "k", "operation": "sign"}, "result": True}], default=False)
        server.ronctl("policy", "external", "--flush")
        with tenant.client() as client:
            for _ in range(5):
                assert client.post("/sign", json=signing()).status_code == 200
                assert client.post("/sign", json=signing("other")).status_code == 403
                assert client.post("/verify", json=body).status_code == 403


def test_no_worker_goes_by_a_decision_beyond_its_life(tmp_path: Path, point: DecisionPointProcess) -> None:
    env = {"KMS_POLICY_CACHE_TTL_MS": str(LIFE_MS), "KMS_POLICY_CACHE_DENY_TTL_MS": str(LIFE_MS)}
    with serve(tmp_path, point, **env) as server:
        tenant = Tenant(server, "life")
        tenant.create("k")
        body = verifying(tenant)
        for allowed in (True, False, True):
            point.behave(default=allowed)
            ends = time.monotonic() + LIFE_MS / 1000
            while time.monotonic() < ends:
                tenant.many("sign", signing())
                tenant.many("verify", body)
            expected = {200 if allowed else 403}
            # Every request that begins now is decided by answers to questions after the change.
            assert tenant.many("sign", signing()) == expected
            assert tenant.many("verify", body) == expected


def test_what_is_remembered_is_not_asked_again(tmp_path: Path, point: DecisionPointProcess) -> None:
    with serve(tmp_path, point, KMS_POLICY_CACHE_TTL_MS="3600000") as server:
        tenant = Tenant(server, "memory")
        tenant.create("k")
        point.behave()
        for _ in range(4):
            assert tenant.many("sign", signing()) == {200}
        # One a worker, or a few more where two threads of it asked at the same time.
        assert 1 <= len(point.asked(action="sign")) <= 2 * WORKERS
        tenant.ok("keys/k/disable")
        assert tenant.sign().status == 409
        assert point.asked(action="sign")[-1]["key"]["state"] == "disabled"


FAULTS = ("hang", "drip", "garbage", "status", "redirect", "oversized", "oversized_chunked", "cut", "close")


@pytest.fixture(scope="module")
def hasty(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[ServerProcess, DecisionPointProcess]]:
    with DecisionPointProcess() as running:
        env = HASTY | {"KMS_POLICY_FAIL_OPEN": ",".join(OPEN)}
        with serve(tmp_path_factory.mktemp("hasty"), running, **env) as server:
            yield server, running


def _ready_tenant(server: ServerProcess, point: DecisionPointProcess, name: str) -> tuple[Tenant, Any]:
    """With keys, and every worker's breaker closed."""
    point.behave()
    tenant = Tenant(server, name)
    eventually(lambda: tenant.post("keys", {"alg": "Ed25519", "usage": "sign", "key_id": "k"}).status == 201)
    eventually(lambda: tenant.many("sign", signing()) == {200})
    while (signed := tenant.sign()).status != 200:
        # A busy machine; the next one is asked in time.
        time.sleep(0.1)
    return tenant, {**signing(), "signature": signed.json()["signature"]}


@pytest.mark.parametrize("fault", [*FAULTS, "stopped"])
def test_a_fault_closes_what_fails_closed_only(
    hasty: tuple[ServerProcess, DecisionPointProcess], fault: str
) -> None:
    server, point = hasty
    tenant, body = _ready_tenant(server, point, f"fault-{fault.replace('_', '-')}")
    opened = metric(server, 'kms_external_policy_fail_open_total{class="verify"}')
    if fault == "stopped":
        point.stop()
    else:
        point.behave(fault=fault, hang_seconds=5.0)
    for _ in range(3):
        refused = tenant.sign()
        assert (refused.status, refused.json()["code"]) == (503, "policy_unavailable"), refused.body
        assert int(refused.headers["Retry-After"]) >= 1
        assert tenant.ok("verify", body)["valid"] is True
        assert tenant.post("keys/k", method="GET").status == 200
    answered = tenant.ok("sign", {"items": [signing(), signing()]})["items"]
    assert [(item["status"], item["error"]["code"]) for item in answered] == [(503, "policy_unavailable")] * 2
    assert httpx.get(f"{server.admin_url}/healthz", timeout=30).status_code == 200
    assert metric(server, 'kms_external_policy_fail_open_total{class="verify"}') == opened + 3
    records = [record for record in read_records(server.data_dir) if record["tenant"] == tenant.name]
    refusals = [record for record in records if record.get("code") == "policy_unavailable"]
    assert len(refusals) >= 3
    assert {record["outcome"] for record in refusals} == {"error"}
    assert all(record["detail"].startswith("external policy: ") for record in refusals)
    undecided = [record for record in records if "external_policy=undecided:" in record.get("detail", "")]
    assert {record["op"] for record in undecided} >= {"verify", "read"}
    if fault == "stopped":
        point.start()
    point.behave()
    eventually(lambda: tenant.many("sign", signing()) == {200})


def test_the_breaker_opens_tries_and_closes(tmp_path: Path, point: DecisionPointProcess) -> None:
    env = HASTY | {"KMS_POLICY_BREAKER_COOLDOWN_MS": "60000"}
    with serve(tmp_path, point, workers=1, **env) as server:
        tenant, _ = _ready_tenant(server, point, "breaker")
        point.behave(fault="hang", hang_seconds=0.6)
        for _ in range(6):
            assert tenant.sign().status == 503
        # Two that failed, and none after; what is refused meanwhile waits for nothing.
        assert len(point.asked(action="sign")) == 2
        eventually(lambda: metric(server, 'kms_external_policy_breaker{state="open"}') == 1)
        assert "breaker open  last fault timeout at 2" in server.ronctl("policy", "external").stdout
        assert int(tenant.sign().headers["Retry-After"]) > 1
        assert "external_policy_breaker_opened" in server.output()
    point.behave()
    env["KMS_POLICY_BREAKER_COOLDOWN_MS"] = "500"
    with serve(tmp_path, point, workers=1, **env) as server:
        tenant = Tenant(server, "breaker")
        point.behave(fault="status")
        for _ in range(2):
            assert tenant.sign().status == 503
        eventually(lambda: metric(server, 'kms_external_policy_breaker{state="open"}') == 1)
        # Half open: one question a cool-down, however many requests there are.
        began = time.monotonic()
        while time.monotonic() < began + 2.0:
            assert tenant.many("sign", signing()) == {503}
        cooldowns = (time.monotonic() - began) / 0.5
        assert 3 <= len(point.asked(action="sign")) <= 2 + cooldowns + 1
        point.behave()
        eventually(lambda: tenant.sign().status == 200)
        eventually(lambda: metric(server, 'kms_external_policy_breaker{state="closed"}') == 1)
        assert "external_policy_breaker_closed" in server.output()


def test_a_hanging_decision_point_does_not_pile_up(tmp_path: Path, point: DecisionPointProcess) -> None:
    env = HASTY | {"KMS_POLICY_CONNECTIONS": "1", "KMS_THREADS": "4", "KMS_POLICY_BREAKER_FAILURES": "1000"}
    with serve(tmp_path, point, workers=2, **env) as server:
        tenant, _ = _ready_tenant(server, point, "pile")
        point.behave(latency=0.05)
        statuses = [tenant.many("sign", signing()) for _ in range(2)]
        assert set().union(*statuses) <= {200, 503}
        # One a worker, and the probe.
        assert point.told()["most"] <= 3


def test_readiness(tmp_path: Path) -> None:
    point = DecisionPointProcess()
    server = serve(tmp_path, point, workers=1, **HASTY)
    server.launch()
    try:
        eventually(lambda: _missing(server) is not None)
        eventually(lambda: any("unreachable" in each for each in _missing(server) or []))
        missing = [each for each in _missing(server) or [] if each.startswith("external policy: ")]
        assert missing[0].endswith("refused meanwhile: sign, verify, wrap, unwrap, lifecycle, read, admin")
        assert httpx.get(f"{server.admin_url}/healthz", timeout=30).status_code == 200
        assert metric(server, "kms_external_policy_up") == 0
        with point:
            eventually(lambda: _missing(server) == [])
            assert metric(server, "kms_external_policy_up") == 1
            # A denial is an answer.
            point.behave(default=False)
            time.sleep(1.5)
            assert _missing(server) == []
        eventually(lambda: any(each.startswith("external policy: ") for each in _missing(server) or []))
    finally:
        server.stop()


def test_an_unreachable_decision_point_is_no_hindrance_if_nothing_fails_closed(tmp_path: Path) -> None:
    classes = "sign,verify,wrap,unwrap,lifecycle,read,admin"
    env = {
        "KMS_WORKERS": "1",
        "KMS_POLICY_URL": f"http://127.0.0.1:{free_port()}/v1/data/x",
        "KMS_POLICY_FAIL_OPEN": classes,
    }
    with ServerProcess(tmp_path / "data", env=env) as server:
        tenant = Tenant(server, "open")
        tenant.create("k")
        assert tenant.many("sign", signing()) == {200}
        assert metric(server, "kms_external_policy_up") == 0
        assert "external_policy_fails_open" in server.output()


def _missing(server: ServerProcess) -> list[str] | None:
    try:
        found: list[str] = httpx.get(f"{server.admin_url}/readyz", timeout=30).json()["missing"]
    except httpx.TransportError:
        return None
    return found


def test_mutual_tls_and_a_bearer_token(tmp_path: Path) -> None:
    authority, strangers = Authority(tmp_path / "ca"), Authority(tmp_path / "ca2", "strangers")
    shown, ours, foreign = authority.issue("point"), authority.issue("kms"), strangers.issue("foreign")
    token = tmp_path / "bearer"
    token.write_text("let-me-ask\n")
    env = {
        "KMS_POLICY_TLS_CA": str(authority.cert),
        "KMS_POLICY_TLS_CERT": str(ours.cert),
        "KMS_POLICY_TLS_KEY": str(ours.key),
        "KMS_POLICY_TOKEN_FILE": str(token),
    }
    with DecisionPointProcess((shown.cert, shown.key, authority.cert)) as point:
        with serve(tmp_path, point, workers=1, **env) as server:
            tenant = Tenant(server, "tls")
            tenant.create("k")
            assert tenant.sign().status == 200
            assert "let-me-ask" not in server.output()
        for wrong in (
            {"KMS_POLICY_TLS_CA": str(strangers.cert)},
            {"KMS_POLICY_TLS_CERT": str(foreign.cert), "KMS_POLICY_TLS_KEY": str(foreign.key)},
        ):
            server = serve(tmp_path, point, workers=1, **(env | wrong)).launch()
            eventually(lambda: any("unreachable" in each for each in _missing(server) or []))  # noqa: B023
            server.stop()


def test_files_that_cannot_be_used_stop_the_start(tmp_path: Path, point: DecisionPointProcess) -> None:
    server = serve(tmp_path, point, KMS_POLICY_TOKEN_FILE=str(tmp_path / "none")).launch()
    assert server.wait() == 2
    assert "policy_token_file: cannot be used: " in server.output()


def test_ronctl_shows_and_tries(tmp_path: Path, point: DecisionPointProcess) -> None:
    with serve(tmp_path, point, workers=2, KMS_POLICY_FAIL_OPEN="verify") as server:
        tenant = Tenant(server, "acme")
        tenant.create("k", labels={"env": "prod"})
        point.behave(rules=[{"match": {"env": "prod"}, "result": {"allow": False, "reason": "not now"}}])
        shown = server.ronctl("policy", "external").stdout
        assert f"url                 {point.url}\nanswers             true\n" in shown
        assert "fail_open           verify\nfail_closed         sign, wrap, unwrap," in shown
        assert shown.count("breaker closed") == 2
        refused = server.ronctl(
            *("policy", "external", "--op", "sign", "--tenant", "acme", "--key", "k"), check=False
        )
        assert refused.returncode == 1
        assert "decision            deny" in refused.stdout
        assert "reason              not now\ndecision_id         d-" in refused.stdout
        (asked,) = point.asked()
        assert (asked["key"]["labels"], asked["alg"], asked["action"]) == ({"env": "prod"}, "Ed25519", "sign")
        allowed = server.ronctl("policy", "external", "--op", "destroy_key", "--tenant", "acme", "--key", "j")
        assert "decision            allow" in allowed.stdout
        wrong = server.ronctl("policy", "external", "--op", "steal", check=False)
        assert (wrong.returncode, "datakey" in wrong.stderr) == (1, True)
        assert server.ronctl("policy", "external", "--key", "k", check=False).returncode == 2
        point.stop()
        unanswered = server.ronctl("policy", "external", "--op", "sign", check=False)
        assert unanswered.returncode == 1
        assert "decision            none" in unanswered.stdout
        assert "reason              unreachable: " in unanswered.stdout


def test_without_the_setting_nothing_is_asked(server: ServerProcess) -> None:
    text = httpx.get(f"{server.admin_url}/metrics").text
    for line in text.splitlines():
        if line.startswith("kms_external_policy") and not line.startswith("kms_external_policy_latency"):
            assert line.endswith(" 0"), line
    assert "kms_external_policy_up" not in text
    refused = server.ronctl("policy", "external", check=False)
    assert (refused.returncode, "policy_url is not set" in refused.stderr) == (1, True)


def test_config_check(tmp_path: Path) -> None:
    path = tmp_path / "kms.toml"
    path.write_text('seal = "dev"\npolicy_url = "http://policy.example/v1/data/kms"\n')
    checked = ServerProcess(tmp_path / "data").ronctl("config", "check", str(path), check=False)
    assert checked.returncode == 2
    assert "policy_url: plain http is for loopback" in checked.stderr


def test_explain_asks_it_or_says_that_it_decides_too(tmp_path: Path, point: DecisionPointProcess) -> None:
    with serve(tmp_path, point, workers=1, KMS_POLICY_FAIL_OPEN="verify") as server:
        tenant = Tenant(server, "explained")
        tenant.create("k")

        def explain(*more: str, op: str = "sign") -> tuple[int, str]:
            told = server.ronctl("cap", "explain", tenant.token, "--op", op, "--key", "k", *more, check=False)
            return told.returncode, told.stdout.partition("\n")[0] + told.stderr

        not_asked = (
            "allowed by the capability; the external policy decides too and was not asked: give --action"
        )
        assert explain() == (0, not_asked)
        status, told = explain("--action", "sign")
        assert (status, told.partition(" (d-")[0]) == (0, "allowed, by the external policy too")
        point.behave(default={"allow": False, "reason": "change freeze"})
        refused = "refused with 403 denied: external policy: change freeze"
        status, told = explain("--action", "sign")
        assert (status, told.partition(" (d-")[0]) == (1, refused)
        assert tenant.sign().status == 403
        status, told = explain("--action", "destroy_key")
        assert status != 0
        assert "destroy_key needs the right state, not sign" in told
        status, told = explain("--action", "dance")
        assert status != 0
        assert "no action of that name" in told
        point.stop()
        status, told = explain("--action", "sign")
        assert (status, told.partition(": ")[0]) == (1, "refused with 503 policy_unavailable")
        status, told = explain("--action", "verify", op="verify")
        assert (status, told.partition(": ")[0]) == (0, "allowed without a decision of the external policy")
