"""A key that is disabled in stages: the share, its steps, its end, and the way back."""

from __future__ import annotations

import time
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest

from ronkms.domain.operation import Operation, Outcome
from ronkms.service.staged_disabling import PRINCIPAL
from tests.fakes.api import FakeApi, b64

MESSAGE = b64(b"m")


@pytest.fixture
def api(tmp_path: Path) -> FakeApi:
    api = FakeApi(tmp_path)
    api.create("Ed25519", "k")
    api.create("AES-256-GCM", "box")
    return api


def draw(monkeypatch: pytest.MonkeyPatch, percent: float) -> list[int]:
    """Lets every request draw ``percent``; grows with each draw."""
    drawn: list[int] = []

    def drawing(_: SystemRandom) -> float:
        drawn.append(1)
        return percent / 100

    monkeypatch.setattr(SystemRandom, "random", drawing)
    return drawn


def uses(api: FakeApi) -> list[tuple[str, dict[str, Any]]]:
    sign = {"key_id": "k", "message": MESSAGE}
    signature = api.post("sign", sign).json["signature"]
    wrapped = api.post("wrap", {"key_id": "box", "plaintext": MESSAGE}).json["ciphertext"]
    return [
        ("sign", sign),
        ("verify", sign | {"signature": signature}),
        ("wrap", {"key_id": "box", "plaintext": MESSAGE}),
        ("unwrap", {"key_id": "box", "ciphertext": wrapped}),
        ("datakey", {"key_id": "box"}),
    ]


def test_each_operation_is_refused_by_the_draw(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = uses(api)
    for key_id in ("k", "box"):
        answer = api.post(f"keys/{key_id}/disable", {"percent": 30}).json
        assert answer["state"] == "enabled"
        assert answer["staged_disabling"]["refused_percent"] == 30
    for percent, status in ((29.9, 409), (30.1, 200)):
        draw(monkeypatch, percent)
        for path, body in requests:
            result = api.post(path, body)
            assert result.status_code == status, path
            if status == 409:
                assert result.json["code"] == "key_disabled"
                assert "in stages: 30%" in result.json["detail"]
    assert api.counter("kms_staged_refusals_total") == len(requests)
    refused = [record for record in api.audit.records if record.get("code") == "key_disabled"]
    assert [record["detail"] for record in refused] == ["staged_disable"] * len(requests)


@pytest.mark.parametrize("extra", [{}, {"signature_format": "der"}], ids=["plain", "any"])
def test_a_batch_draws_once(api: FakeApi, monkeypatch: pytest.MonkeyPatch, extra: dict[str, str]) -> None:
    api.create("ES256", "ec")
    for key_id in ("k", "ec"):
        api.post(f"keys/{key_id}/disable", {"percent": 30})
    drawn = draw(monkeypatch, 29)
    items = [{"key_id": "k", "message": MESSAGE}, {"key_id": "ec", "message": MESSAGE, **extra}] * 3
    answers = api.post("sign", {"items": items}).json["items"]
    assert {answer["error"]["code"] for answer in answers} == {"key_disabled"}
    assert len(drawn) == 1


def test_steps_only_go_up_and_enable_takes_them_back(api: FakeApi) -> None:
    api.post("keys/k/disable", {"percent": 30})
    assert api.post("keys/k/disable", {"percent": 29}).json["code"] == "conflict"
    assert api.post("keys/k/disable", {"percent": 31}).status_code == 200
    before = api.arena.snapshot().counters["kms_staged_refusals_total"]
    assert api.post("keys/k/enable").json == {"key_id": "k", "state": "enabled"}
    assert "staged_disabling" not in api.get("keys/k").json
    assert all(api.post("sign", {"key_id": "k", "message": ""}).status_code == 200 for _ in range(20))
    assert api.counter("kms_staged_refusals_total") == before
    assert api.post("keys/k/disable", {"percent": 1}).status_code == 200
    records = [record for record in api.audit.records if record["op"] is Operation.STATE]
    assert [(record["phase"], record["outcome"], record["detail"]) for record in records[:6]] == [
        ("intent", Outcome.OK, "staged_disable=30% over=0"),
        ("outcome", Outcome.OK, "staged_disable=30% over=0"),
        ("", Outcome.REJECTED, "staged_disable=29% over=0"),
        ("intent", Outcome.OK, "staged_disable=31% over=0"),
        ("outcome", Outcome.OK, "staged_disable=31% over=0"),
        ("intent", Outcome.OK, "state=enabled"),
    ]
    events = [fields for event, fields in api.bus.events if "refused_percent" in fields]
    assert [(fields["state"], fields["refused_percent"]) for fields in events] == [
        ("enabled", 30),
        ("enabled", 31),
        ("enabled", 1),
    ]


@pytest.mark.parametrize("body", [{}, {"percent": 100}])
def test_all_at_once_is_a_plain_disable(api: FakeApi, body: dict[str, int]) -> None:
    api.post("keys/k/disable", {"percent": 30})
    assert api.post("keys/k/disable", body).json == {"key_id": "k", "state": "disabled"}
    assert "staged_disabling" not in api.get("keys/k").json
    assert api.post("keys/k/disable", {"percent": 30}).json["code"] == "conflict"


def test_a_schedule_ends_as_disabled(api: FakeApi) -> None:
    began = int(time.time())
    answer = api.post("keys/k/disable", {"over": 600}).json["staged_disabling"]
    assert (answer["target_percent"], answer["refused_percent"] < 1) == (100, True)
    assert began + 600 <= answer["target_at"] <= time.time() + 600
    assert api.service.disable_due(began + 599) == 0
    assert api.service.disable_due(answer["target_at"]) == 1
    assert api.service.disable_due(answer["target_at"]) == 0
    assert api.get("keys/k").json["state"] == "disabled"
    records = [record for record in api.audit.records if record["token_id"] == PRINCIPAL]
    assert [(record["phase"], record["outcome"], record["detail"]) for record in records] == [
        ("intent", Outcome.OK, "state=disabled"),
        ("outcome", Outcome.OK, "state=disabled"),
    ]
    assert api.bus.events[-1][1]["state"] == "disabled"


def test_enabling_just_before_the_end_wins(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api.post("keys/k/disable", {"percent": 100, "over": 1})
    listed = [api.store.get("default", "k")]
    monkeypatch.setattr(api.store, "due_for_disabling", lambda now: listed)
    api.post("keys/k/enable")
    assert api.service.disable_due(int(time.time()) + 5) == 0
    assert api.get("keys/k").json["state"] == "enabled"
    assert api.audit.records[-2]["outcome"] is Outcome.REJECTED


@pytest.mark.parametrize(
    "body",
    [
        {"percent": 0},
        {"percent": 101},
        {"percent": 1.5},
        {"percent": "10"},
        {"over": 0},
        {"percent": 10, "over": 31_536_001},
        {"percent": 10, "key_version": 1},
        {"over": 10, "key_version": 1},
    ],
)
def test_what_is_no_stage(api: FakeApi, body: dict[str, Any]) -> None:
    assert api.post("keys/k/disable", body).json["code"] == "bad_request"
    assert "staged_disabling" not in api.get("keys/k").json
