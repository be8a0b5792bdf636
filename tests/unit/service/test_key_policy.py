"""What a new key may be made with; nothing is made of what may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.api import FakeApi

GOOD: dict[str, Any] = {"alg": "Ed25519", "usage": "sign", "key_id": "k"}


@pytest.fixture
def api(tmp_path: Path) -> FakeApi:
    return FakeApi(tmp_path)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"alg": "RSA"}, "/alg"),
        ({"alg": ""}, "/alg"),
        ({"usage": "wrap"}, "/usage"),
        ({"usage": "encrypt"}, "/usage"),
        ({"key_id": ""}, "/key_id"),
        ({"key_id": "-a"}, "/key_id"),
        ({"key_id": "A"}, "/key_id"),
        ({"key_id": "a" * 129}, "/key_id"),
        ({"key_id": "a\n"}, "/key_id"),
        ({"key_id": "a\0"}, "/key_id"),
        ({"key_id": "rotate"}, "/key_id"),
        ({"key_id": "import"}, "/key_id"),
        ({"backend": "cloud"}, "/backend"),
        ({"policy": {"mu": True}}, "/policy/mu"),
        ({"policy": {"export": True}}, "/policy"),
        ({"labels": {str(number): "" for number in range(65)}}, "/labels"),
        ({"labels": {"a" * 129: ""}}, "/labels"),
        ({"labels": {"a": "b" * 129}}, "/labels"),
        ({"labels": {"": "b"}}, "/labels"),
        ({"labels": {"a": "\0"}}, "/labels"),
        ({"labels": {"a\n": ""}}, "/labels"),
        ({"labels": {"a": 1}}, "/labels/..."),
    ],
)
def test_refused(api: FakeApi, change: dict[str, Any], field: str) -> None:
    refused = api.post("keys", {**GOOD, **change})
    assert (refused.status_code, refused.json["code"]) == (400, "bad_request")
    assert refused.json["field"] == field
    assert api.store.keys == {}
    assert [record["phase"] for record in api.audit.records] == [""]


@pytest.mark.parametrize("key_id", ["a", "0", "a.b_c-d", "a" * 128])
def test_accepted(api: FakeApi, key_id: str) -> None:
    labels = {str(number): "b" * 128 for number in range(63)} | {"a" * 128: "größe 7"}
    made = api.post("keys", {**GOOD, "key_id": key_id, "labels": labels, "backend": "file"})
    assert made.status_code == 201
    assert api.get(f"keys/{key_id}").json["labels"] == labels


def test_create_needs_a_right_on_the_new_id(api: FakeApi) -> None:
    token = "default;create;orders-*"
    assert api.post("keys", {**GOOD, "key_id": "orders-1"}, token=token).status_code == 201
    assert api.post("keys", GOOD, token=token).status_code == 403
    assert api.post("keys", {"alg": "Ed25519", "usage": "sign"}, token=token).status_code == 403
