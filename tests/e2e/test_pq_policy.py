"""The post-quantum policy through the real server: the mode table, changes, locks, exceptions, rollout."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from ronkms.cli.ronctl_admin import ask
from ronkms.domain.operation import Operation
from ronkms.policy.pq import VerifyMode
from ronkms.policy.rollout import selected
from ronkms.server.admin_messages import MintArguments, MintedToken
from ronkms.server.admin_policy_messages import PolicyView, SetArguments
from tests.e2e.support import raw_http
from tests.server_process import ServerProcess

WORKERS = 4
FRESH_CONNECTIONS = 16
KEYS = 200
HYBRID = "MLDSA65-Ed25519-SHA512"
MLDSA_SIGNATURE = 3309
"""Bytes of an ML-DSA-65 signature, FIPS 204 table 2: the first part of the composite's."""
MESSAGE = base64.b64encode(b"the policy decides").decode()
MODES = ("or", "pq_only", "and")
BOTH, CLASSICAL_BAD, PQ_BAD = (True, True), (True, False), (False, True)
"""Verdicts of (ML-DSA-65, Ed25519)."""
ACCEPTED = {
    "or": {BOTH, CLASSICAL_BAD, PQ_BAD},
    "pq_only": {BOTH, CLASSICAL_BAD},
    "and": {BOTH},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    data = tmp_path_factory.mktemp("policy") / "data"
    with ServerProcess(data, env={"KMS_WORKERS": str(WORKERS)}) as running:
        yield running


class Tenant:
    """A tenant of its own, so that tests do not meet."""

    def __init__(self, server: ServerProcess, name: str) -> None:
        self.server = server
        self.name = name
        operations = [Operation.SIGN, Operation.VERIFY, Operation.CREATE, Operation.ROTATE]
        self.token = ask(
            server.data_dir, "cap.mint", MintedToken, MintArguments(name, operations, 3600)
        ).token

    def post(self, path: str, body: dict[str, Any]) -> raw_http.Answer:
        """On a fresh connection, so that any worker may take it."""
        headers = [("Authorization", f"Bearer {self.token}"), ("Content-Type", "application/json")]
        raw = raw_http.request("POST", f"/v1/kms/{path}", headers, json.dumps(body).encode())
        return raw_http.exchange(self.server.api_url, raw)

    def ok(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.post(path, body)
        assert answer.status in (200, 201), (path, answer.status, answer.body)
        return answer.json()

    def many(self, path: str, body: dict[str, Any]) -> list[raw_http.Answer]:
        """The same request on many connections at a time, so that every worker takes some."""
        with ThreadPoolExecutor(12) as pool:
            return list(pool.map(lambda _: self.post(path, body), range(FRESH_CONNECTIONS)))

    def create(self, key_id: str, alg: str = "Ed25519") -> None:
        self.ok("keys", {"key_id": key_id, "alg": alg, "usage": "sign"})

    def sign(self, key_id: str) -> Any:
        return self.ok("sign", {"key_id": key_id, "message": MESSAGE})

    def policy(self, *arguments: str, check: bool = True) -> str:
        command, *more = arguments
        done = self.server.ronctl("policy", command, "--tenant", self.name, *more, check=check)
        return done.stdout + done.stderr

    def set(self, **values: Any) -> PolicyView:
        """As ``ronctl policy set`` does, without a new process."""
        return ask(self.server.data_dir, "policy.set", PolicyView, SetArguments(self.name, **values))


def _states(composite: str) -> dict[str, tuple[str, tuple[bool, bool]]]:
    """Signatures by name of their state, each with the verdicts of its components."""
    whole = base64.b64decode(composite)
    post_quantum, classical = bytearray(whole[:MLDSA_SIGNATURE]), bytearray(whole[MLDSA_SIGNATURE:])
    bad_pq, bad_classical = bytearray(post_quantum), bytearray(classical)
    bad_pq[0] ^= 1
    bad_classical[0] ^= 1
    made = {
        "both good": (post_quantum + classical, BOTH),
        "classical bad": (post_quantum + bad_classical, CLASSICAL_BAD),
        "PQ bad": (bad_pq + classical, PQ_BAD),
        "stripped to classical": (classical, (False, False)),
        "stripped to PQ": (post_quantum, (False, False)),
    }
    return {name: (base64.b64encode(signature).decode(), seen) for name, (signature, seen) in made.items()}


def _check(answer: Any, mode: str, seen: tuple[bool, bool], where: tuple[object, ...]) -> None:
    assert answer["mode"] == mode, (where, answer)
    assert answer["valid"] is (seen in ACCEPTED[mode]), (where, answer)
    assert answer["alg"] == HYBRID, (where, answer)
    assert answer["components"] == {"ML-DSA-65": seen[0], "Ed25519": seen[1]}, (where, answer)
    assert answer["conformant"] is (seen == BOTH), (where, answer)


@pytest.mark.parametrize("kind", ["composite", "moved"])
def test_the_mode_table(server: ServerProcess, kind: str) -> None:
    """Every mode after every other, with a warm cache each time: single, again (cached), and as a batch."""
    tenant = Tenant(server, f"table-{kind}")
    tenant.create("k", HYBRID if kind == "composite" else "Ed25519")
    old = None
    if kind == "moved":
        tenant.set(produce_hybrid=True, rollout_percent=100)
        old = tenant.sign("k") if tenant.sign("k")["alg"] == "Ed25519" else None
        _wait_for_hybrid(tenant, "k")
    signed = tenant.sign("k")
    assert signed["alg"] == HYBRID
    states = _states(signed["signature"])
    body = {"key_id": "k", "message": MESSAGE, "key_version": signed["key_version"]}
    for mode in ("or", "pq_only", "and", "or"):
        tenant.set(verify_mode=VerifyMode(mode))
        for name, (signature, seen) in states.items():
            for attempt in range(2):
                answer = tenant.ok("verify", {**body, "signature": signature})
                _check(answer, mode, seen, (kind, mode, name, attempt))
            found = {
                answer.json()["cache"] for answer in tenant.many("verify", {**body, "signature": signature})
            }
            assert found == {"hit"}, (kind, mode, name)
        items = [{**body, "signature": signature} for signature, _ in states.values()]
        batch = tenant.ok("verify", {"items": items})["items"]
        for (name, (_, seen)), item in zip(states.items(), batch, strict=True):
            _check(item["result"], mode, seen, (kind, mode, name, "batch"))
        if old is not None:
            before = {"key_id": "k", "message": MESSAGE, "key_version": 1, "signature": old["signature"]}
            assert tenant.post("verify", before).status == (422 if mode == "pq_only" else 200)


def _wait_for_hybrid(tenant: Tenant, key_id: str) -> None:
    deadline = time.monotonic() + 60
    while tenant.sign(key_id)["alg"] != HYBRID:
        assert time.monotonic() < deadline, "no hybrid version was made"
        time.sleep(0.05)


def _pq_rejects(server: ServerProcess) -> int:
    text = httpx.get(f"{server.admin_url}/metrics").text
    found = re.search(r'^kms_reject_total\{reason="pq_policy"\} (\d+)', text, re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_a_rejection_names_the_component_and_counts_and_a_wrong_signature_does_not(
    server: ServerProcess,
) -> None:
    tenant = Tenant(server, "rejects")
    tenant.create("k")
    signed = tenant.sign("k")
    body = {"key_id": "k", "message": MESSAGE, "signature": signed["signature"]}
    before = _pq_rejects(server)
    wrong = {**body, "message": base64.b64encode(b"another").decode()}
    assert tenant.ok("verify", wrong)["valid"] is False
    assert _pq_rejects(server) == before
    tenant.set(verify_mode=VerifyMode.PQ_ONLY)
    refused = tenant.post("verify", body)
    assert (refused.status, refused.json()["code"]) == (422, "pq_policy")
    assert "asks for a post-quantum component, ML-DSA" in refused.json()["detail"]
    assert _pq_rejects(server) == before + 1


def test_all_workers_see_a_change_before_the_call_returns(server: ServerProcess) -> None:
    tenant = Tenant(server, "at-once")
    tenant.create("k", HYBRID)
    states = _states(tenant.sign("k")["signature"])
    signature, seen = states["classical bad"]
    body = {"key_id": "k", "message": MESSAGE, "signature": signature}
    for mode in MODES * 2:
        tenant.set(verify_mode=VerifyMode(mode))
        answers = [answer.json() for answer in tenant.many("verify", body)]
        assert {answer["mode"] for answer in answers} == {mode}
        assert {answer["valid"] for answer in answers} == {seen in ACCEPTED[mode]}


def test_the_policy_of_a_key_goes_before_its_tenants(server: ServerProcess) -> None:
    tenant = Tenant(server, "of-a-key")
    for key_id in ("one", "two"):
        tenant.create(key_id, HYBRID)
    tenant.set(verify_mode=VerifyMode.OR)
    tenant.policy("set", "--key", "one", "--verify-mode", "and")
    for key_id, mode in (("one", "and"), ("two", "or")):
        body = {"key_id": key_id, "message": MESSAGE, "signature": tenant.sign(key_id)["signature"]}
        assert {answer.json()["mode"] for answer in tenant.many("verify", body)} == {mode}
    shown = tenant.policy("inspect", "--key", "one")
    lines = [line for line in shown.splitlines() if re.search("pq_|verify_mode|rollout_percent", line)]
    assert [line.split()[:2] for line in lines] == [
        ["verify_mode", "and"],
        ["pq_verify_mode", "and"],
        ["pq_produce_hybrid", "false"],
        ["rollout_percent", "0"],
        ["pq_selected", "false"],
    ]
    assert "(key)" in lines[1]
    tenant.policy("unset", "--key", "one")
    assert "(tenant)" in tenant.policy("inspect", "--key", "one").splitlines()[3]


def test_a_lock_holds_and_an_exception_takes_two_admins(server: ServerProcess) -> None:
    tenant = Tenant(server, "locked")
    tenant.create("k", HYBRID)
    signature, _ = _states(tenant.sign("k")["signature"])["classical bad"]
    body = {"key_id": "k", "message": MESSAGE, "signature": signature}
    tenant.policy("lock")
    refused = tenant.policy("set", "--verify-mode", "or", check=False)
    assert "locked at and" in refused
    first, second = (server.mint(op=["admin"], tenant=tenant.name) for _ in range(2))
    weak = server.mint(op=["sign"], tenant=tenant.name)
    stranger = server.mint(op=["admin"], tenant="stranger")
    narrowed = server.ronctl("cap", "attenuate", "--ttl", "10m", first).stdout.strip()

    def exception(approver: str, ttl: str = "1h") -> str:
        return tenant.policy(
            *("except", "--name", "CHG-1", "--reason", "old verifiers", "--verify-mode", "or", "--ttl", ttl),
            *("--requester", first, "--approver", approver),
            check=False,
        )

    for approver in (first, narrowed, weak, stranger, "nonsense"):
        assert exception(approver).startswith("error:")
    assert tenant.ok("verify", body)["valid"] is False
    assert exception(second, "31d").startswith("error:")
    shown = exception(second)
    assert "exception           tenant CHG-1: verify_mode or until" in shown
    assert {answer.json()["valid"] for answer in tenant.many("verify", body)} == {True}
    tenant.policy("end", "--name", "CHG-1")
    assert {answer.json()["valid"] for answer in tenant.many("verify", body)} == {False}
    # By its time, in every worker, without anybody's call.
    shown = exception(second, "3s")
    assert "CHG-1" in shown
    assert tenant.ok("verify", body)["valid"] is True
    deadline = time.monotonic() + 30
    while tenant.ok("verify", body)["valid"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert {answer.json()["valid"] for answer in tenant.many("verify", body)} == {False}
    audit = b"".join(
        path.read_bytes() for path in sorted((server.data_dir / "audit").iterdir()) if path.is_file()
    )
    for token in (first, second):
        assert token.encode() not in audit
    ids = re.findall(r"token_id=([0-9a-f]{32})", audit.decode(errors="replace"))
    assert len(set(ids)) >= 4


def test_the_rollout_under_load(server: ServerProcess) -> None:
    tenant = Tenant(server, "rollout")
    names = [f"key-{number}" for number in range(KEYS)]
    http = httpx.Client(
        base_url=server.api_url, headers={"Authorization": f"Bearer {tenant.token}"}, timeout=60, verify=False
    )
    with http:
        for name in names:
            made = http.post("/v1/kms/keys", json={"key_id": name, "alg": "Ed25519", "usage": "sign"})
            assert made.status_code == 201
        tenant.set(produce_hybrid=True, verify_mode=VerifyMode.AND)
        before = _pq_rejects(server)
        failures: list[str] = []
        stopping = threading.Event()
        load = threading.Thread(target=_sign_and_verify, args=(tenant, names, stopping, failures))
        load.start()
        try:
            moved: set[str] = set()
            for percent in (0, 10, 50, 100):
                tenant.set(rollout_percent=percent)
                # The share of 1,000 keys by this selection: tests/unit/policy/test_rollout.py.
                chosen = {name for name in names if selected(tenant.name, name, percent)}
                now = _settled(http, names, chosen)
                assert moved <= now
                moved = now
        finally:
            stopping.set()
            load.join(60)
        assert failures == []
        assert _pq_rejects(server) == before
        tenant.set(rollout_percent=0)
        assert _signing_hybrid(http, names) == set()


def _signing_hybrid(http: httpx.Client, names: list[str]) -> set[str]:
    items = [{"key_id": name, "message": MESSAGE} for name in names]
    answered = http.post("/v1/kms/sign", json={"items": items}).json()["items"]
    assert [item for item in answered if item["status"] != 200] == []
    results = [item["result"] for item in answered]
    return {result["key_id"] for result in results if result["alg"] == HYBRID}


def _settled(http: httpx.Client, names: list[str], chosen: set[str]) -> set[str]:
    """The keys that sign hybrid once the versions that the rollout waits for are made: just the chosen."""
    deadline = time.monotonic() + 180
    while True:
        now = _signing_hybrid(http, names)
        assert now <= chosen
        if now == chosen:
            return now
        assert time.monotonic() < deadline, (len(now), len(chosen))
        time.sleep(0.5)


def _sign_and_verify(
    tenant: Tenant, names: list[str], stopping: threading.Event, failures: list[str]
) -> None:
    """Every signature verifies, whichever kind it is, also those from before."""
    older: list[tuple[str, str]] = []
    for number in range(1_000_000):
        if stopping.is_set():
            return
        name = names[number * 7 % len(names)]
        signed = tenant.post("sign", {"key_id": name, "message": MESSAGE})
        if signed.status != 200:
            failures.append(f"sign {name}: {signed.status} {signed.body[:200]!r}")
            return
        older.append((name, signed.json()["signature"]))
        key_id, signature = older[number // 2]
        answer = tenant.post("verify", {"key_id": key_id, "message": MESSAGE, "signature": signature})
        if answer.status != 200 or not answer.json()["valid"]:
            failures.append(f"verify {key_id}: {answer.status} {answer.body[:200]!r}")
            return


def test_phase_three_makes_no_classical_signature(server: ServerProcess) -> None:
    tenant = Tenant(server, "phase-3")
    tenant.create("k")
    tenant.create("rsa", "PS256")
    moved = tenant.ok("keys/rotate", {"key_id": "k", "alg": HYBRID})
    assert (moved["alg"], moved["key_version"]) == (HYBRID, 2)
    assert tenant.sign("k")["alg"] == "Ed25519"
    assert tenant.post("keys/rotate", {"key_id": "k", "alg": "ES256"}).status == 400
    tenant.set(verify_mode=VerifyMode.PQ_ONLY, produce_hybrid=True, rollout_percent=0)
    assert tenant.sign("k")["alg"] == HYBRID
    refused = tenant.post("sign", {"key_id": "rsa", "message": MESSAGE})
    assert (refused.status, refused.json()["code"]) == (422, "pq_policy")
    assert "post-quantum component" in refused.json()["detail"]
    assert {answer.json()["alg"] for answer in tenant.many("sign", {"key_id": "k", "message": MESSAGE})} == {
        HYBRID
    }


def test_the_policy_outlives_a_crash_and_other_settings(tmp_path: Any) -> None:
    data = tmp_path / "data"
    with ServerProcess(data, env={"KMS_WORKERS": "2", "KMS_PQ_VERIFY_MODE": "pq_only"}) as server:
        Tenant(server, "acme").policy("lock")
        Tenant(server, "other").set(verify_mode=VerifyMode.OR, rollout_percent=7)
        server.kill()
    tightened = False
    for mode in ("or", "and", "or"):
        with ServerProcess(data, env={"KMS_WORKERS": "2", "KMS_PQ_VERIFY_MODE": mode}) as server:
            shown = Tenant(server, "acme").policy("inspect")
            tightened |= mode == "and"
            held = "and" if tightened else "pq_only"
            assert f"verify_mode         {held}, classical algorithms excluded" in shown
            assert "rollout_percent     7  (tenant)" in Tenant(server, "other").policy("inspect")
    journal = data / "policy" / "policy"
    journal.write_bytes(journal.read_bytes().replace(b"pq_only", b"or     "))
    damaged = ServerProcess(data, env={"KMS_WORKERS": "2"}).launch()
    assert damaged.wait() != 0
    assert "policy" in damaged.output()
