"""A table of bad requests over the real port: each has one right answer, and none leaves a trace but that."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.support import (
    cases_crypto,
    cases_fields,
    cases_protocol,
    cases_state,
    cases_tokens,
    cases_transport,
    raw_http,
)
from tests.e2e.support.audit_records import read_records
from tests.e2e.support.bad_request_case import MESSAGE, Case, signing, verifying
from tests.e2e.support.bad_request_stage import SECRET, Stage, b64, set_up
from tests.server_process import ServerProcess

MODULES = (cases_protocol, cases_transport, cases_fields, cases_crypto, cases_tokens, cases_state)
CASES: list[Case] = [case for module in MODULES for case in module.CASES]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """After the last case: no 500 was given, no key has changed, and the log holds no secret."""
    with ServerProcess(tmp_path_factory.mktemp("bad-requests") / "data") as server:
        headers = {"Authorization": f"Bearer {server.token}"}
        with httpx.Client(base_url=server.api_url, headers=headers, timeout=30) as client:
            ready = set_up(server, client)
            before = copy.deepcopy(ready.snapshot())
            assert len(before) == len(set(before)) >= 13
            yield ready
            assert ready.snapshot() == before
        _check_counters(server)
        _check_log(server, ready)
        _check_audit(server, ready)


def _check_counters(server: ServerProcess) -> None:
    metrics = httpx.get(f"{server.admin_url}/metrics").raise_for_status().text
    answers = [line for line in metrics.splitlines() if line.startswith("http_requests_total{")]
    assert any('code="400"' in line for line in answers)
    failed = [line for line in answers if 'code="500"' in line and not line.endswith((" 0", " 0.0"))]
    assert not failed, failed
    crashed = [line for line in metrics.splitlines() if line.startswith("service_crashed_total")]
    assert crashed
    assert all(float(line.split()[-1]) == 0 for line in crashed), crashed


def _check_log(server: ServerProcess, stage: Stage) -> None:
    log = server.output()
    assert "service=ron-kms ready=1" in log
    assert "Traceback" not in log
    secrets = [SECRET.decode(), SECRET.hex(), MESSAGE[:-4], *(token[:60] for token in stage.tokens.values())]
    for secret in secrets:
        assert secret not in log, f"{secret[:12]}... is in the log"


def _check_audit(server: ServerProcess, stage: Stage) -> None:
    """The log verifies; each case that got past authentication is in it once, with the code of its answer."""
    server.ronctl("audit", "verify", str(server.data_dir / "audit"))
    codes: dict[str, list[str]] = {}
    for record in read_records(server.data_dir):
        if record.get("phase") != "intent":
            codes.setdefault(record.get("corr_id", ""), []).append(record.get("code", ""))
    for number in stage.asked:
        case = CASES[number]
        reached = case.echoes and case.status != 401 and case not in cases_transport.UNROUTED
        assert codes.get(_corr_id(number), []) == ([case.code] if reached else []), case.name
    written = b"".join(path.read_bytes() for path in (server.data_dir / "audit").glob("*.jsonl"))
    for secret in (SECRET, MESSAGE.encode()[:-4], *(token[:60].encode() for token in stage.tokens.values())):
        assert secret not in written


def _corr_id(number: int) -> str:
    return f"case-{number}"


def test_the_table_is_large_and_its_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(names) >= 200
    assert len(set(names)) == len(names), sorted(name for name in set(names) if names.count(name) > 1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_request(stage: Stage, case: Case) -> None:
    number = CASES.index(case)
    corr_id = _corr_id(number)
    stage.asked.add(number)
    raw = case.raw(stage)
    line, rest = raw.split(b"\r\n", 1)
    answer = raw_http.exchange(
        stage.server.api_url, line + b"\r\nX-Correlation-ID: " + corr_id.encode() + b"\r\n" + rest
    )
    _check_problem(answer, case, corr_id if case.echoes else None)
    for secret in (SECRET, MESSAGE.encode()[:-4], stage.tokens["admin"].encode()):
        assert secret not in answer.body


def _check_problem(answer: raw_http.Answer, case: Case, corr_id: str | None) -> None:
    assert answer.headers["Content-Type"] == "application/problem+json", answer
    problem: dict[str, Any] = answer.json()
    assert (answer.status, problem["code"]) == (case.status, case.code), problem
    assert problem["status"] == answer.status
    assert {"type", "title", "detail"} <= set(problem)
    assert problem["corr_id"] == answer.headers["X-Correlation-ID"]
    assert problem["corr_id"]
    if corr_id is not None:
        assert problem["corr_id"] == corr_id
    if case.header is not None:
        name, value = case.header
        assert answer.headers[name] is not None
        assert set(answer.headers[name].split(", ")) >= set(value.split(", ")), answer.headers[name]


def test_a_body_that_ends_too_soon_is_refused(stage: Stage) -> None:
    raw = stage.ask("/v1/kms/sign", signing())
    answer = raw_http.exchange(stage.server.api_url, raw[:-5], half_close=True)
    assert (answer.status, answer.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "corr_id",
    ["a" * 65, "two words", "semi;colon", 'quo"te', "<script>", "caf\xe9", "../../etc", ""],
    ids=lambda corr_id: ascii(corr_id[:12]),
)
def test_a_bad_correlation_id_is_replaced(stage: Stage, corr_id: str) -> None:
    raw = stage.ask("/v1/kms/sign", b"{", headers=(("X-Correlation-ID", corr_id),))
    answer = raw_http.exchange(stage.server.api_url, raw)
    assert answer.status == 400
    given = answer.headers["X-Correlation-ID"]
    assert given == answer.json()["corr_id"]
    assert given
    assert given != corr_id


BAD_ITEMS: list[tuple[str, object, int, str]] = [
    ("a number", 7, 400, "bad_request"),
    ("null", None, 400, "bad_request"),
    ("an array", [], 400, "bad_request"),
    ("an empty object", {}, 400, "bad_request"),
    ("unknown member", signing(colour="red"), 400, "bad_request"),
    ("bad base64", signing(message="***"), 400, "bad_request"),
    ("bad key id", signing(key_id="../seal"), 400, "bad_request"),
    ("wrapping key", signing(key_id="gcm"), 400, "bad_request"),
    ("context on Ed25519", signing(context=b64(b"x")), 400, "bad_request"),
    ("no such key", signing(key_id="nothing-here"), 404, "not_found"),
    ("foreign key", signing(key_id="theirs"), 404, "not_found"),
    ("disabled key", signing(key_id="off"), 409, "key_disabled"),
    ("receipt of an item", signing(receipt=True), 400, "bad_request"),
    ("batch in a batch", {"items": [signing()]}, 400, "bad_request"),
]


def test_bad_items_of_a_batch_fail_alone(stage: Stage) -> None:
    items = [item for _, bad, _, _ in BAD_ITEMS for item in (signing(), bad)] + [signing()]
    answer = stage.client.post("/v1/kms/sign", json={"items": items})
    assert answer.status_code == 200, answer.text
    results = answer.json()["items"]
    assert len(results) == len(items)
    for good in results[::2]:
        assert good["status"] == 200
        assert good["result"]["signature"] == stage.signature
        assert "error" not in good
    for (name, _, status, code), result in zip(BAD_ITEMS, results[1::2], strict=True):
        assert (result["status"], result["error"]["code"]) == (status, code), name
        assert "result" not in result
        assert SECRET.decode() not in json.dumps(result)


def test_bad_items_of_a_verify_batch_fail_alone(stage: Stage) -> None:
    good = verifying(signature=stage.signature)
    small = {"public_key": {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}, "message": "", "signature": ""}
    wrong = verifying()
    items = [good, small, good, verifying(key_version=99), wrong, good]
    answer = stage.client.post("/v1/kms/verify", json={"items": items})
    assert answer.status_code == 200, answer.text
    results = answer.json()["items"]
    assert [result["status"] for result in results] == [200, 400, 200, 404, 200, 200]
    assert [results[place]["result"]["valid"] for place in (0, 2, 4, 5)] == [True, True, False, True]


def test_a_batch_beyond_the_rights_of_the_token_is_denied_item_by_item(stage: Stage) -> None:
    token = stage.server.mint(op=["sign"], key="ed")
    items = [signing(), signing(key_id="ml"), signing(key_id="nothing-here")]
    headers = {"Authorization": f"Bearer {token}"}
    results = stage.client.post("/v1/kms/sign", json={"items": items}, headers=headers).json()["items"]
    assert [result["status"] for result in results] == [200, 403, 403]


@pytest.mark.parametrize(
    "signature",
    [b"", b"\0", bytes(63), bytes(64), bytes(65), b"\xff" * 64, bytes(100_000)],
    ids=lambda signature: f"{len(signature)} bytes {signature[:1].hex()}",
)
@pytest.mark.parametrize("key_id", ["ed", "ec", "rsa", "ml", "hybrid"])
def test_a_malformed_signature_is_invalid_and_no_error(stage: Stage, key_id: str, signature: bytes) -> None:
    answer = stage.client.post("/v1/kms/verify", json=verifying(key_id=key_id, signature=b64(signature)))
    assert answer.status_code == 200, answer.text
    assert answer.json()["valid"] is False
    assert answer.json()["conformant"] is False


def test_a_connection_serves_good_requests_after_bad_ones(stage: Stage) -> None:
    bodies = [b"{", b"[]", b'{"key_id":7}', b'{"key_id":"ed","message":"***"}']
    for body in bodies * 5:
        refused = stage.client.post(
            "/v1/kms/sign", content=body, headers={"Content-Type": "application/json"}
        )
        assert refused.status_code == 400
        signed = stage.client.post("/v1/kms/sign", json=signing())
        assert signed.json()["signature"] == stage.signature
