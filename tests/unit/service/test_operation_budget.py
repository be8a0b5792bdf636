"""``max_operations``: what counts, what is refused, and what happens at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ronkms.domain.key import MAX_RESERVATION
from ronkms.errors import BackendUnavailable
from ronkms.service.operation_budget import OperationBudget
from tests.fakes.api import FakeApi, b64

MESSAGE = b64(b"m")
SIGN = {"key_id": "k", "message": MESSAGE}


@pytest.fixture
def api(tmp_path: Path) -> FakeApi:
    return FakeApi(tmp_path)


def limited(api: FakeApi, limit: int, alg: str = "Ed25519", **policy: Any) -> None:
    api.create(alg, "k", policy={"max_operations": limit, **policy})


def left(api: FakeApi, version: int = 1) -> int:
    versions = {each["key_version"]: each for each in api.get("keys/k").json["versions"]}
    number: int = versions[version]["operations_left"]
    return number


def test_no_more_signatures_than_allowed(api: FakeApi) -> None:
    limited(api, 3)
    signatures = []
    for remaining in (2, 1, 0):
        signatures.append(api.post("sign", SIGN).json["signature"])
        assert left(api) == remaining
    refused = api.post("sign", SIGN)
    assert (refused.status_code, refused.json["code"]) == (409, "key_exhausted")
    assert "max_operations 3" in refused.json["detail"]
    assert api.audit.records[-1]["code"] == "key_exhausted"
    for _ in range(5):
        assert api.post("verify", SIGN | {"signature": signatures[0]}).json["valid"] is True
    events = [fields for event, fields in api.bus.events if event == "KeyExhausted"]
    assert events == [{"tenant": "default", "key_id": "k", "key_version": 1, "max_operations": 3}]
    # Each version has its own.
    api.post("rotate", {"key_id": "k"})
    assert (left(api), left(api, 2)) == (0, 3)
    assert api.post("sign", SIGN).json["key_version"] == 2


def test_wrapping_counts_and_unwrapping_does_not(api: FakeApi) -> None:
    limited(api, 2, "AES-256-GCM")
    wrapped = api.post("wrap", {"key_id": "k", "plaintext": MESSAGE}).json["ciphertext"]
    assert api.post("datakey", {"key_id": "k"}).status_code == 200
    for path, body in (("wrap", {"key_id": "k", "plaintext": MESSAGE}), ("datakey", {"key_id": "k"})):
        assert api.post(path, body).json["code"] == "key_exhausted"
    for _ in range(5):
        assert api.post("unwrap", {"key_id": "k", "ciphertext": wrapped}).status_code == 200


@pytest.mark.parametrize("binds_message", [False, True], ids=["plain", "any"])
def test_a_batch_gets_what_is_left(api: FakeApi, binds_message: bool) -> None:
    api.capabilities.binds_message = binds_message
    limited(api, 5)
    api.create("Ed25519", "other")
    items = [SIGN, {"key_id": "other", "message": MESSAGE}] * 4
    first, second = (api.post("sign", {"items": items}).json["items"] for _ in range(2))
    assert [item["status"] for item in first] == [200] * 8
    assert [item["status"] for item in second] == [200, 200, 409, 200, 409, 200, 409, 200]
    assert second[2]["error"]["code"] == "key_exhausted"
    assert api.audit.records[-1]["keys"] == {"k/1": 1, "other/1": 4}
    alone = api.post("sign", {"items": [SIGN] * 3}).json["items"]
    assert {item["error"]["code"] for item in alone} == {"key_exhausted"}


def test_one_key_alone_in_a_batch(api: FakeApi) -> None:
    limited(api, 2)
    items = api.post("sign", {"items": [SIGN] * 3}).json["items"]
    assert [item["status"] for item in items] == [200, 200, 409]
    assert api.audit.records[-1]["keys"] == {"k/1": 2}


def test_blocks_are_reserved_ahead_and_shrink(api: FakeApi) -> None:
    limited(api, 1000)
    api.post("sign", SIGN)
    assert left(api) == 990
    for _ in range(9):
        api.post("sign", SIGN)
    assert left(api) == 990
    api.post("sign", SIGN)
    assert left(api) == 981
    api.post("keys/k/policy", {"max_operations": 2**53 - 1})
    for _ in range(10):
        api.post("sign", SIGN)
    assert left(api) == 2**53 - 1 - 19 - MAX_RESERVATION


def test_a_limit_lowered_below_what_is_reserved_ends_the_version(api: FakeApi) -> None:
    limited(api, 1000)
    api.post("sign", SIGN)
    api.post("keys/k/policy", {"max_operations": 5})
    assert api.post("sign", SIGN).json["code"] == "key_exhausted"
    assert left(api) == 0
    api.post("keys/k/policy", {"max_operations": 1000})
    assert api.post("sign", SIGN).status_code == 200
    assert left(api) == 990
    api.post("keys/k/policy", {"max_operations": None})
    assert "operations_left" not in api.get("keys/k").json["versions"][0]
    assert api.post("sign", SIGN).status_code == 200


def test_what_cannot_be_reserved_is_not_done_and_not_lost(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(api, 1000)
    api.post("sign", SIGN)

    def full(*_: object) -> None:
        raise BackendUnavailable("disk")

    with monkeypatch.context() as patch:
        patch.setattr(api.store, "reserve", full)
        for _ in range(9):
            assert api.post("sign", SIGN).status_code == 200
        refused = api.post("sign", SIGN)
        assert (refused.status_code, refused.json["code"]) == (503, "backend_unavailable")
        key = api.store.get("default", "k")
        budget = OperationBudget(store=api.store, journaling=None)  # type: ignore[arg-type]
        budget._left["default", "k", 1] = 3
        with pytest.raises(BackendUnavailable):
            budget.take(key, key.versions[1], 4)
        assert budget.take(key, key.versions[1], 3) == 3
    assert api.post("sign", SIGN).status_code == 200


def test_a_key_with_a_rotation_period_is_rotated_before_the_end(api: FakeApi) -> None:
    limited(api, 20, rotation_period_seconds=10**6)
    now = api.store.get("default", "k").created_at
    for _ in range(17):
        api.post("sign", SIGN)
    assert api.service.rotate_due(now) == 0
    api.post("sign", SIGN)
    assert api.service.rotate_due(now) == 1
    assert api.service.rotate_due(now) == 0
    assert api.post("sign", SIGN).json["key_version"] == 2


@pytest.mark.parametrize("limit", [0, -1, 2**53, 1.5, "3", True])
def test_what_is_no_limit(api: FakeApi, limit: object) -> None:
    api.create("Ed25519", "k")
    assert api.post("keys/k/policy", {"max_operations": limit}).json["code"] == "bad_request"
