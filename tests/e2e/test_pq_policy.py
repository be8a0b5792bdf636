"""The post-quantum policy through the real server: the mode table, changes, locks, exceptions, rollout."""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
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
from tests.e2e.support.audit_records import read_records
from tests.e2e.support.composite_reference import COMPOSITES
from tests.eventually import eventually
from tests.server_process import ServerProcess

WORKERS = 4
FRESH_CONNECTIONS = 16
KEYS = 1000
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
        operations = [Operation.SIGN, Operation.VERIFY, Operation.CREATE, Operation.ROTATE, Operation.READ]
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

    def get(self, path: str) -> Any:
        raw = raw_http.request("GET", f"/v1/kms/{path}", [("Authorization", f"Bearer {self.token}")])
        answer = raw_http.exchange(self.server.api_url, raw)
        assert answer.status == 200, (path, answer.status, answer.body)
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


def _wait_for_hybrid(tenant: Tenant, key_id: str, hybrid: str = HYBRID) -> None:
    eventually(lambda: tenant.sign(key_id)["alg"] == hybrid, "no hybrid version was made", pause=0.05)


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
    eventually(lambda: not tenant.ok("verify", body)["valid"], "the exception never ended", pause=0.05)
    assert {answer.json()["valid"] for answer in tenant.many("verify", body)} == {False}
    audit = b"".join(
        path.read_bytes() for path in sorted((server.data_dir / "audit").iterdir()) if path.is_file()
    )
    for token in (first, second):
        assert token.encode() not in audit
    ids = re.findall(r"token_id=([0-9a-f]{32})", audit.decode(errors="replace"))
    assert len(set(ids)) >= 4


@pytest.mark.timeout(240)
def test_the_rollout_under_load(server: ServerProcess) -> None:
    tenant = Tenant(server, "rollout")
    names = [f"key-{number}" for number in range(KEYS)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(tenant.create, names))
    tenant.set(produce_hybrid=True, verify_mode=VerifyMode.AND)
    before = _pq_rejects(server)
    load = RolloutLoad(tenant, names)
    load.start()
    try:
        moved: set[str] = set()
        for percent in (0, 10, 50, 100):
            tenant.set(rollout_percent=percent)
            chosen = {name for name in names if selected(tenant.name, name, percent)}
            moved = _settled(tenant, names, moved, chosen)
            assert abs(len(moved) * 100 / KEYS - percent) <= 3
    finally:
        load.stop()
    assert load.failures == []
    assert load.signed_hybrid
    assert _pq_rejects(server) == before
    tenant.set(rollout_percent=0)
    assert _signing_hybrid(tenant, names) == set()


def _signing_hybrid(tenant: Tenant, names: list[str]) -> set[str]:
    items = [{"key_id": name, "message": MESSAGE} for name in names]
    answered = tenant.ok("sign", {"items": items})["items"]
    assert [item for item in answered if item["status"] != 200] == []
    results = [item["result"] for item in answered]
    return {result["key_id"] for result in results if result["alg"] == HYBRID}


def _settled(tenant: Tenant, names: list[str], moved: set[str], chosen: set[str]) -> set[str]:
    """The keys that sign hybrid once the versions that the rollout waits for are made: just the chosen, and
    none went back meanwhile."""
    deadline = time.monotonic() + 120
    while moved != chosen:
        now = _signing_hybrid(tenant, names)
        assert moved <= now <= chosen
        moved = now
        assert time.monotonic() < deadline, (len(now), len(chosen))
        time.sleep(1)
    return moved


class RolloutLoad:
    """Signs with all keys in turn and verifies, until it is stopped: each signature is valid, also the older
    ones, and a key that signed hybrid does so ever after."""

    def __init__(self, tenant: Tenant, names: list[str], threads: int = 2) -> None:
        self._tenant = tenant
        self._names = names
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]
        self.failures: list[str] = []
        self.signed_hybrid: set[str] = set()

    def start(self) -> None:
        """Begins."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _run(self, first: int) -> None:
        older: list[tuple[str, str]] = []
        for number in itertools.count():
            if self._stopping.is_set():
                return
            name = self._names[(first * 499 + number * 7) % len(self._names)]
            was_hybrid = name in self.signed_hybrid
            signed = self._post("sign", {"key_id": name, "message": MESSAGE})
            if signed is None:
                return
            if signed["alg"] == HYBRID:
                self.signed_hybrid.add(name)
            elif was_hybrid:
                self.failures.append(f"{name} went back to {signed['alg']}")
            older.append((name, signed["signature"]))
            key_id, signature = older[number // 2]
            body = {"key_id": key_id, "message": MESSAGE, "signature": signature}
            answer = self._post("verify", body)
            if answer is None or not answer["valid"]:
                self.failures.append(f"verify {key_id}: {answer}")
                return

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._tenant.post(path, body)
        if answer.status == 200:
            return answer.json()
        self.failures.append(f"{path} {body['key_id']}: {answer.status} {answer.body[:200]!r}")
        return None


@pytest.mark.parametrize(
    ("alg", "hybrid"), [("ES256", "MLDSA65-ECDSA-P256-SHA512"), ("ES384", "MLDSA87-ECDSA-P384-SHA512")]
)
def test_a_key_on_a_nist_curve_moves_to_its_composite(server: ServerProcess, alg: str, hybrid: str) -> None:
    tenant = Tenant(server, f"nist-{alg.lower()}")
    tenant.create("k", alg)
    old = tenant.sign("k")
    assert (old["alg"], old["key_version"]) == (alg, 1)
    tenant.set(produce_hybrid=True, rollout_percent=100)
    _wait_for_hybrid(tenant, "k", hybrid)
    new = tenant.sign("k")
    assert (new["alg"], new["key_version"]) == (hybrid, 2)
    for signed in (old, new):
        body = {"key_id": "k", "message": MESSAGE, "signature": signed["signature"]}
        for answer in tenant.many("verify", body):
            verified = answer.json()
            assert (verified["valid"], verified["conformant"]) == (True, True)
            assert (verified["alg"], verified["key_version"]) == (signed["alg"], signed["key_version"])
    jwk = tenant.get("keys/k/public?key_version=2")
    public, signature = (
        base64.urlsafe_b64decode(jwk["pub"] + "=="),
        base64.b64decode(new["signature"]),
    )
    assert COMPOSITES[hybrid].verify(public, base64.b64decode(MESSAGE), signature) == (True, True)
    tenant.set(verify_mode=VerifyMode.PQ_ONLY)
    body = {"key_id": "k", "key_version": 1, "message": MESSAGE, "signature": old["signature"]}
    assert tenant.post("verify", body).status == 422
    tenant.set(verify_mode=VerifyMode.AND, rollout_percent=0)
    assert tenant.sign("k")["alg"] == alg


def test_a_new_key_that_the_rollout_selects_signs_hybrid_from_the_first_time(server: ServerProcess) -> None:
    tenant = Tenant(server, "new-keys")
    tenant.set(produce_hybrid=True, rollout_percent=100, verify_mode=VerifyMode.PQ_ONLY)
    made = tenant.ok("keys", {"key_id": "k", "alg": "Ed25519", "usage": "sign"})
    assert (made["alg"], made["key_version"]) == (HYBRID, 2)
    answers = [answer.json() for answer in tenant.many("sign", {"key_id": "k", "message": MESSAGE})]
    assert {(answer["alg"], answer["key_version"]) for answer in answers} == {(HYBRID, 2)}
    by_rollout = [
        (record["op"], record["phase"], record["key_version"])
        for record in read_records(server.data_dir)
        if (record["tenant"], record["token"]) == (tenant.name, "system:rollout")
    ]
    assert by_rollout == [("rotate", "intent", 2), ("rotate", "outcome", 2)]
    tenant.set(rollout_percent=0, verify_mode=VerifyMode.AND)
    assert tenant.sign("k")["alg"] == "Ed25519"
    made = tenant.ok("keys", {"key_id": "later", "alg": "Ed25519", "usage": "sign"})
    assert (made["alg"], made["key_version"]) == ("Ed25519", 1)


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
    assert _changed_settings(data) == [("and", "pq_only")] * 2
    tightened = False
    for mode in ("or", "and", "or"):
        with ServerProcess(data, env={"KMS_WORKERS": "2", "KMS_PQ_VERIFY_MODE": mode}) as server:
            shown = Tenant(server, "acme").policy("inspect")
            tightened |= mode == "and"
            held = "and" if tightened else "pq_only"
            assert f"verify_mode         {held}, classical algorithms excluded" in shown
            assert "rollout_percent     7  (tenant)" in Tenant(server, "other").policy("inspect")
            told = server.ronctl("tail", "--topic", "kms", "--since", "1h").stdout
            assert re.search(rf"ConfigUpdated.*pq_verify_mode\"?[=:]\"?{mode}", told)
            assert re.search(r"PolicyChanged.*change\"?[=:]\"?defaults", told)
    assert _changed_settings(data)[2:] == [
        change for change in (("pq_only", "or"), ("or", "and"), ("and", "or")) for _ in ("intent", "outcome")
    ]
    journal = data / "policy" / "policy"
    journal.write_bytes(journal.read_bytes().replace(b"pq_only", b"or     "))
    damaged = ServerProcess(data, env={"KMS_WORKERS": "2"}).launch()
    assert damaged.wait() != 0
    assert "policy" in damaged.output()


@pytest.mark.timeout(120)
def test_a_lost_policy_stops_the_start_until_the_loss_is_accepted(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with ServerProcess(data, env={"KMS_WORKERS": "1"}) as server:
        Tenant(server, "acme").policy("lock")
        Tenant(server, "other").set(verify_mode=VerifyMode.OR, rollout_percent=7)
    shutil.move(data / "policy", tmp_path / "lost")
    refused = ServerProcess(data, env={"KMS_WORKERS": "1"}).launch()
    assert refused.wait() != 0
    (said,) = [line for line in refused.stderr if "policy" in line]
    found = re.search(
        r"is missing; it had (\d+) entries.*KMS_POLICY_ACCEPT_LOSS=\1: the 1 locks are kept", said
    )
    assert found is not None, said
    env = {"KMS_WORKERS": "1", "KMS_PQ_VERIFY_MODE": "or", "KMS_POLICY_ACCEPT_LOSS": found[1]}
    for _ in range(2):
        with ServerProcess(data, env=env) as server:
            shown = Tenant(server, "acme").policy("inspect")
            assert "verify_mode         and" in shown
            assert "rollout_percent     0  (default)" in Tenant(server, "other").policy("inspect")
            assert "locked at and" in Tenant(server, "acme").policy("set", "--verify-mode", "or", check=False)
    accepted = [
        record["detail"]
        for record in read_records(data)
        if record.get("detail", "").startswith("policy.accept_loss ")
    ]
    assert accepted == [f"policy.accept_loss entries={found[1]} locks_kept=1"]
    shutil.rmtree(data / "policy")
    shutil.move(tmp_path / "lost", data / "policy")
    older = ServerProcess(data, env={"KMS_WORKERS": "1"}).launch()
    assert older.wait() != 0
    assert "is an older copy" in older.output()


def _changed_settings(data: Path) -> list[tuple[str, str]]:
    """(verify mode before, after) of the records that a start with other settings wrote."""
    details = [record.get("detail", "") for record in read_records(data)]
    changes = [
        json.loads(detail.split(" ", 2)[2]) for detail in details if detail.startswith("policy.defaults ")
    ]
    return [(change["from"]["verify_mode"], change["to"]["verify_mode"]) for change in changes]
