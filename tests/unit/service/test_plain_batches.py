"""Batches of plain items are answered, recorded and counted as the path for any batch does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ronkms_native import verify_batch

from ronkms.api.plain_items import plain_signs
from ronkms.domain.algorithm import ALGORITHMS
from ronkms.service.admission import Gate
from ronkms.service.batches import Batches
from ronkms.service.call import Call
from tests.fakes.api import FakeApi, b64

HYBRID = "MLDSA65-Ed25519-SHA512"
MESSAGES = [b64(b"%d" % number) for number in range(4)]
CONTEXTS = [None, b64(b"c"), ""]
KEYS = ["ed", "rotated", "narrowed", "hybrid", "ec", "off", "wrap", "missing", "no such id!"]
NOT_YOURS = "default;sign,verify;[erhmw]*"
TOKENS = [None, NOT_YOURS]

Item = dict[str, Any]


class Stage:
    """The same requests to both paths."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        for key_id, alg in [
            ("ed", "Ed25519"),
            ("rotated", "Ed25519"),
            ("narrowed", "Ed25519"),
            ("hybrid", HYBRID),
            ("ec", "ES256"),
            ("off", "Ed25519"),
            ("wrap", "AES-256-GCM"),
        ]:
            api.create(alg, key_id)
        self.old = {key: self._signatures(key) for key in ("rotated", "narrowed")}
        api.post("rotate", {"key_id": "rotated"})
        api.post("rotate", {"key_id": "narrowed"})
        api.post("keys/narrowed/disable", {"key_version": 1})
        self.new = {
            key: self._signatures(key) for key in ("ed", "rotated", "narrowed", "hybrid", "ec", "off")
        }
        api.post("keys/off/disable")

    def _signatures(self, key_id: str) -> dict[str, str]:
        return {
            message: self.api.post("sign", {"key_id": key_id, "message": message}).json["signature"]
            for message in MESSAGES
        }

    def both(self, path: str, items: list[Item], warm: list[Item], token: str | None) -> tuple[Any, Any]:
        """What each path answered, recorded and counted, from the same state of the cache."""
        return self._once(path, items, warm, token, plain=False), self._once(
            path, items, warm, token, plain=True
        )

    def _once(self, path: str, items: list[Item], warm: list[Item], token: str | None, *, plain: bool) -> Any:
        api = self.api
        api.arena.cache_sweep(all_entries=True)
        for item in warm:
            api.post(path, item)
        api.capabilities.binds_message = not plain
        before = api.arena.snapshot()
        more = {} if token is None else {"token": token}
        result = api.post(path, {"items": items}, **more)
        after = api.arena.snapshot()
        record = {name: value for name, value in api.audit.records[-1].items() if name != "corr_id"}
        counted = {
            name: after.cache[name] - before.cache[name]
            for name in after.cache
            if name in ("hit", "miss", "stale")
        }
        assert after.inflight == before.inflight
        return result.status_code, result.json, record, counted


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(FakeApi(tmp_path_factory.mktemp("api")))


def of(item: Item) -> Item:
    return {name: value for name, value in item.items() if value is not None}


signings = st.builds(
    lambda key_id, message, context: of({"key_id": key_id, "message": message, "context": context}),
    st.sampled_from(KEYS),
    st.sampled_from(MESSAGES),
    st.sampled_from(CONTEXTS),
)


@st.composite
def verifications(draw: st.DrawFn, stage: Stage) -> Item:
    # Mostly the key whose older version has to be tried as well, for each item apart.
    key_id = draw(st.sampled_from(["rotated"] * len(KEYS) + KEYS))
    message = draw(st.sampled_from(MESSAGES))
    made = [signatures[key_id] for signatures in (stage.new, stage.old) if key_id in signatures]
    signed = draw(st.sampled_from(made))[message] if made else b64(bytes(64))
    return of(
        {
            "key_id": key_id,
            "message": draw(st.sampled_from([message, message, MESSAGES[0]])),
            "signature": draw(st.sampled_from([signed, signed, b64(bytes(64)), ""])),
            "context": draw(st.sampled_from([None, None, *CONTEXTS])),
            "key_version": draw(st.sampled_from([None, None, None, 1, 2, 9])),
        }
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_verify_batches_are_as_on_the_general_path(stage: Stage, data: st.DataObject) -> None:
    items = data.draw(st.lists(verifications(stage), min_size=1, max_size=24))
    warm = data.draw(st.lists(st.sampled_from(items), max_size=4))
    general, plain = stage.both("verify", items, warm, data.draw(st.sampled_from(TOKENS)))
    assert plain == general


def _without_random_signatures(seen: tuple[Any, ...]) -> tuple[Any, ...]:
    status, body, record, counted = seen
    for item in body["items"]:
        if item["status"] == 200 and item["result"]["alg"] != "Ed25519":
            assert item["result"].pop("signature")
    return status, body, record, counted


@settings(max_examples=60, deadline=None)
@given(items=st.lists(signings, min_size=1, max_size=12), token=st.sampled_from(TOKENS))
def test_sign_batches_are_as_on_the_general_path(stage: Stage, items: list[Item], token: str | None) -> None:
    general, plain = stage.both("sign", items, [], token)
    assert _without_random_signatures(plain) == _without_random_signatures(general)


@pytest.fixture
def refuse_general(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("this batch is not for the general path")

    monkeypatch.setattr(Batches, "sign", refuse)
    monkeypatch.setattr(Batches, "verify", refuse)


@pytest.mark.usefixtures("refuse_general")
def test_plain_batches_take_their_own_path_and_their_signatures_hold(tmp_path: Path) -> None:
    api = FakeApi(tmp_path)
    for key_id, alg in (("ed", "Ed25519"), ("ec", "ES256"), ("hybrid", HYBRID)):
        api.create(alg, key_id)
    items = [{"key_id": key_id, "message": each} for each in MESSAGES for key_id in ("ed", "ec", "hybrid")]
    signed = api.post("sign", {"items": items}).json["items"]
    checks = [
        {**item, "signature": each["result"]["signature"]} for item, each in zip(items, signed, strict=True)
    ]
    for used in ("miss", "hit"):
        answers = api.post("verify", {"items": checks}).json["items"]
        assert [(each["result"]["valid"], each["result"]["cache"]) for each in answers] == [(True, used)] * 12
    shifted = [{**check, "message": MESSAGES[0]} for check in checks]
    answers = api.post("verify", {"items": shifted}).json["items"]
    assert [each["result"]["valid"] for each in answers] == [True] * 3 + [False] * 9


@pytest.mark.parametrize("plain", [True, False])
def test_equal_items_are_computed_once_and_weigh_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    api = FakeApi(tmp_path)
    api.capabilities.binds_message = not plain
    api.create("Ed25519", "k")
    body = {"key_id": "k", "message": MESSAGES[0]}
    body["signature"] = api.post("sign", body).json["signature"]
    computed: list[int] = []
    costs: list[int] = []
    real_top_up = Gate.top_up

    def top_up(gate: Gate, call: Call, cost: int) -> None:
        costs.append(cost)
        real_top_up(gate, call, cost)

    def compute(work: list[Any], *, background: bool) -> list[tuple[bool, ...]]:
        computed.append(len(work))
        return verify_batch(work, background=background)

    monkeypatch.setattr(Gate, "top_up", top_up)
    monkeypatch.setattr("ronkms.service.verify.verify_batch", compute)
    answers = api.post("verify", {"items": [body] * 5}).json["items"]
    assert [each["result"]["cache"] for each in answers] == ["miss"] * 5
    assert computed == [1]
    assert costs == [ALGORITHMS["Ed25519"].cost_public]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"items":[{"key_id":"k","message":"","message":""}]}',
        b'{"items":[{"key_id":"k","message":"AB=="}]}',
        b'{"items":[{"key_id":"k","message":null}]}',
        b'{"items":[{"key_id":"k","message":"","colour":""}]}',
        b'{"items":[{"key_id":"k","message":"","context":"' + b64(bytes(256)).encode() + b'"}]}',
    ],
)
def test_what_may_have_to_be_refused_is_no_plain_batch(tmp_path: Path, raw: bytes) -> None:
    api = FakeApi(tmp_path)
    api.create("Ed25519", "k")
    assert plain_signs(raw) is None
    answer = api.post("sign", raw=raw).json["items"][0]
    assert answer["error"]["code"] == "bad_request"
