"""Refusals: who sees which status, what is counted and recorded, and what was not touched."""

from __future__ import annotations

import io
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import structlog

from ronkms.api.app import create_wsgi
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import DENIED
from tests.eventually import eventually
from tests.fakes.api import FakeApi, b64
from tests.fakes.capabilities import ADMIN

SIGN = {"key_id": "k", "message": ""}
CORR_ID = re.compile(r"[0-9a-f]{32}")


@pytest.fixture
def api(tmp_path: Path) -> FakeApi:
    return FakeApi(tmp_path)


class Untouchable(io.RawIOBase):
    """A body that must not be read."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("the body was read")


def raw_call(api: FakeApi, path: str, token: str | None, length: int) -> tuple[str, dict[str, str], bytes]:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(length),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": Untouchable(),
        "wsgi.errors": io.StringIO(),
    }
    if token is not None:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    seen: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        seen[:] = [status, dict(headers)]

    body = b"".join(create_wsgi(api.service, api.arena)(environ, start))
    return seen[0], {name.lower(): value for name, value in seen[1].items()}, body


@pytest.mark.parametrize("path", ["/v1/kms/sign", "/v1/kms/wrap"])
@pytest.mark.parametrize(
    ("token", "status"),
    [(None, "401"), ("forged", "401"), ("default;read;*", "403"), (ADMIN, "503")],
)
def test_cheap_refusals_do_not_read_the_body(
    tmp_path: Path, path: str, token: str | None, status: str
) -> None:
    api = FakeApi(tmp_path, inflight_sign=1)
    fill(api, b"default", 0)
    line, headers, body = raw_call(api, path, token, 100)
    assert line.startswith(status)
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["status"] == int(status)
    assert "connection" not in headers, "a small body is skipped, the connection lives on"
    _, headers, _ = raw_call(api, path, token, 1_000_000)
    assert headers["connection"] == "close"


def test_unauthenticated_is_counted_and_not_recorded(api: FakeApi) -> None:
    refused = api.post("sign", SIGN, token=None)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    for header in ("", "Basic AAAA", "Bearer", "Bearer ", "Bearer x"):
        assert api.post("sign", SIGN, token=None, headers={"Authorization": header}).status_code == 401
    assert api.audit.records == []
    assert api.counter("rejected_total|unauthenticated") == 6
    assert api.counter("http_requests_total|401") == 6


def test_denied_before_and_after_the_body(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    api.audit.records.clear()
    before = api.post("sign", SIGN, token="default;verify;*")
    after = api.post("sign", SIGN, token="default;sign;other")
    batch = api.post("sign", {"items": [SIGN]}, token="default;sign;other")
    assert before.status_code == after.status_code == 403
    assert {**before.json, "corr_id": ""} == {**after.json, "corr_id": ""}
    assert batch.json["items"][0]["error"] == {"code": "denied", "detail": DENIED}
    assert before.json["detail"] == DENIED
    first, second, third = api.audit.records
    assert first["outcome"] is second["outcome"] is Outcome.DENIED
    assert first["code"] == second["code"] == "denied"
    assert (first["key_id"], second["key_id"]) == ("", "k")
    assert (first["detail"], second["detail"]) == ("no right for sign", "key does not match")
    assert third["detail"] == "failed=1 denied=1 invalid=0 first_denied=key does not match"
    assert api.counter("rejected_total|denied") == 2


def test_existence_shows_only_to_those_with_rights(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    token = "default;sign,read,state,rotate;other-*"
    for method, path, takes_body in (
        ("POST", "sign", True),
        ("GET", "keys/{}", False),
        ("POST", "keys/{}/disable", False),
        ("POST", "rotate", True),
    ):
        there, gone = (
            api.call(
                method,
                "/v1/kms/" + path.format(key_id),
                {"key_id": key_id, **({"message": ""} if path == "sign" else {})} if takes_body else None,
                token=token,
            ).json
            for key_id in ("k", "nope")
        )
        assert there["status"] == 403
        assert {**there, "corr_id": ""} == {**gone, "corr_id": ""}


def test_a_refusal_looks_for_no_key(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the time that it takes cannot depend on whether there is one."""
    api.create("Ed25519", "k")

    def looked(*_: object) -> None:
        raise AssertionError("a key was looked for")

    monkeypatch.setattr(api.store, "find", looked)
    monkeypatch.setattr(api.store, "get", looked)
    token = f"default;{','.join(Operation)};other"
    for path, more in {
        "sign": ["message"],
        "verify": ["message", "signature"],
        "wrap": ["plaintext"],
        "unwrap": ["ciphertext"],
        "datakey": [],
        "rotate": [],
    }.items():
        answer = api.post(path, {"key_id": "k"} | dict.fromkeys(more, b64(bytes(64))), token=token)
        assert (path, answer.status_code) == (path, 403)
    for change in ("enable", "disable", "restore", "destroy"):
        assert api.post(f"keys/k/{change}", token=token).status_code == 403
    assert api.get("keys/k", token=token).status_code == 403
    assert (
        api.post("keys", {"alg": "Ed25519", "key_id": "k", "usage": "sign"}, token=token).status_code == 403
    )


def test_a_foreign_tenants_key_does_not_exist(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    foreign = api.post("sign", SIGN, token="other;sign;*")
    assert (foreign.status_code, foreign.json["code"]) == (404, "not_found")


def fill(api: FakeApi, tenant: bytes, leave: int) -> list[int]:
    """Holds permits of signing until ``leave`` units are free.

    What the tenant asked for before stays reserved for a second, so that it may take that long."""
    permits: list[int] = []
    deadline = time.monotonic() + 60
    while (held := api.arena.snapshot().inflight["sign"])[0] < held[1] - leave:
        permit = api.arena.admit(0, tenant, 1)
        if permit >= 0:
            permits.append(permit)
        assert time.monotonic() < deadline
    return permits


def test_saturated_is_counted_and_not_recorded(tmp_path: Path) -> None:
    api = FakeApi(tmp_path, inflight_sign=8)
    api.create("Ed25519", "k")
    records = len(api.audit.records)
    held = fill(api, b"default", 0)
    refused = api.post("sign", SIGN)
    assert (refused.status_code, refused.json["code"]) == (503, "saturated")
    assert refused.headers["retry-after"] == "1"
    assert api.counter("rejected_total|backpressure") == 1
    assert len(api.audit.records) == records
    assert ("default", Operation.SIGN, Outcome.SHED, 1) in api.arena.snapshot().ops
    for permit in held:
        api.arena.release(permit)
    assert api.post("sign", SIGN).status_code == 200


def test_the_permit_grows_before_any_cryptography(tmp_path: Path) -> None:
    api = FakeApi(tmp_path, inflight_sign=16)
    api.create("Ed25519", "cheap")
    api.create("ML-DSA-87", "dear")
    fill(api, b"default", 2)
    # What the creations took may be reserved for a second from the next tick of the clock on.
    cheap = {"key_id": "cheap", "message": ""}
    eventually(lambda: api.post("sign", cheap).status_code == 200)
    assert api.post("sign", {"key_id": "dear", "message": ""}).status_code == 503
    assert api.post("sign", {"items": [{"key_id": "cheap", "message": ""}] * 3}).status_code == 503
    assert api.arena.snapshot().inflight["sign"][0] == 14


def test_verify_only(tmp_path: Path) -> None:
    api = FakeApi(tmp_path, verify_only=True)
    refused = api.post("sign", SIGN)
    assert (refused.status_code, refused.json["code"]) == (503, "backend_unavailable")
    assert api.get("keys").status_code == 200
    assert api.post("verify", {**SIGN, "signature": ""}).status_code == 404


def test_pq_only_excludes_classical_algorithms(tmp_path: Path) -> None:
    api = FakeApi(tmp_path, verify_mode="pq_only")
    api.create("Ed25519", "k")
    refused = api.post("verify", {**SIGN, "signature": ""})
    assert (refused.status_code, refused.json["code"]) == (422, "pq_policy")
    batch = api.post("verify", {"items": [{**SIGN, "signature": ""}]}).json["items"]
    assert (batch[0]["status"], batch[0]["error"]["code"]) == (422, "pq_policy")
    assert api.counter("kms_reject_total|pq_policy") == 2
    api.create("ML-DSA-44", "pq")
    signature = api.post("sign", {"key_id": "pq", "message": ""}).json["signature"]
    answer = api.post("verify", {"key_id": "pq", "message": "", "signature": signature}).json
    assert (answer["valid"], answer["mode"]) == (True, "pq_only")


def test_a_damaged_record_isolates_its_key(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    api.create("Ed25519", "well")
    api.store.damage("default", "k")
    refused = api.post("sign", SIGN)
    assert (refused.status_code, refused.json["code"]) == (503, "backend_unavailable")
    assert "default/k/1" in refused.json["detail"]
    assert api.post("sign", {"key_id": "well", "message": ""}).status_code == 200
    assert api.get("keys/k").json["damaged"] is True


def test_a_key_disabled_during_the_signature_gives_none(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    refreshes = []

    def disable_at_the_second() -> None:
        refreshes.append(1)
        if len(refreshes) == 2:
            api.store.on_refresh = None
            api.store.set_state("default", "k", api.store.get("default", "k").state.DISABLED)

    api.store.on_refresh = disable_at_the_second
    refused = api.post("sign", SIGN)
    assert len(refreshes) == 2
    assert (refused.status_code, refused.json["code"]) == (409, "key_disabled")


def test_a_capability_revoked_during_the_body_is_refused(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    api.capabilities.revoked.add("default")
    assert api.post("sign", SIGN).status_code == 401
    assert api.audit.records[-1]["outcome"] is Outcome.DENIED


@pytest.mark.parametrize("corr_id", ["abc", "A.b_c-9", "x" * 64])
def test_correlation_id_comes_back(api: FakeApi, corr_id: str) -> None:
    for path, token in (("sign", ADMIN), ("sign", None), ("wrap", None), ("nope", None)):
        result = api.post(path, SIGN, token=token, headers={"X-Correlation-ID": corr_id})
        assert result.headers["x-correlation-id"] == corr_id
        if result.status_code >= 400:
            assert result.json["corr_id"] == corr_id
    assert api.audit.records[-1]["corr_id"] == corr_id


@pytest.mark.parametrize("corr_id", ["", "x" * 65, "a b", "a\tb", "é", "a/b"])
def test_malformed_correlation_ids_are_replaced(api: FakeApi, corr_id: str) -> None:
    result = api.post("sign", SIGN, token=None, headers={"X-Correlation-ID": corr_id})
    assert CORR_ID.fullmatch(result.headers["x-correlation-id"])


def test_every_answer_has_the_security_headers(api: FakeApi) -> None:
    for result in (
        api.post("sign", SIGN),
        api.post("sign", SIGN, token=None),
        api.get("keys"),
        api.get("nope"),
        api.call("PUT", "/v1/kms/sign"),
    ):
        assert result.headers["cache-control"] == "no-store"
        assert result.headers["x-content-type-options"] == "nosniff"


def test_methods(api: FakeApi) -> None:
    for method, path, allowed in (
        ("GET", "/v1/kms/sign", {"OPTIONS", "POST"}),
        ("PUT", "/v1/kms/keys", {"GET", "OPTIONS", "POST"}),
        ("DELETE", "/v1/kms/keys/k", {"GET", "OPTIONS"}),
        ("PATCH", "/v1/kms/keys/import", {"OPTIONS", "POST"}),
    ):
        refused = api.call(method, path)
        assert (refused.status_code, refused.json["code"]) == (405, "method_not_allowed")
        assert set(refused.headers["allow"].split(", ")) == allowed


@pytest.mark.filterwarnings("ignore::wsgiref.validate.WSGIWarning")
def test_unheard_of_methods(api: FakeApi) -> None:
    refused = api.call("BREW", "/v1/kms/keys")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, OPTIONS, POST")
    assert api.call("BREW", "/v1/kms/nope").status_code == 404


@pytest.mark.parametrize(
    ("path", "body"), [("sign", SIGN), ("wrap", {"key_id": "w", "plaintext": "AAAA"})], ids=["hot", "routed"]
)
def test_an_unexpected_error_is_hidden_recorded_and_logged(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, str]
) -> None:
    api.create("Ed25519", "k")
    api.create("AES-256-GCM", "w")

    def broken(*_: object) -> None:
        raise RuntimeError("the secret is xyzzy")

    monkeypatch.setattr(api.backend, "warm", broken)
    with structlog.testing.capture_logs() as logs:
        result = api.post(path, body)
    assert (result.status_code, result.json["code"]) == (500, "internal")
    assert "xyzzy" not in result.text
    record = api.audit.records[-1]
    assert (record["outcome"], record["code"]) == (Outcome.ERROR, "internal")
    assert [(line["event"], line["corr_id"]) for line in logs] == [("request_failed", result.json["corr_id"])]
    assert api.arena.snapshot().inflight["sign"][0] == 0


def test_operations_are_observed(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    api.post("sign", SIGN)
    api.post("sign", {**SIGN, "key_id": "nope"})
    api.post("verify", {**SIGN, "signature": ""})
    snapshot = api.arena.snapshot()
    assert ("verify_miss", "Ed25519", 1) in [(op, alg, sum(n)) for op, alg, n, _ in snapshot.histograms]
    counted = {(op, outcome): count for _, op, outcome, count in snapshot.ops if op != "verify_miss"}
    assert counted == {
        (Operation.CREATE, Outcome.OK): 1,
        (Operation.SIGN, Outcome.OK): 1,
        (Operation.SIGN, Outcome.REJECTED): 1,
        (Operation.VERIFY, Outcome.INVALID): 1,
    }
