"""A single verify that claims a tag ends the claim on every way out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from ronkms.errors import Saturated
from ronkms.service.admission import Gate
from ronkms.service.verdict_cache import VerdictCache
from ronkms.service.verify import Verifying
from tests.fakes.api import FakeApi, b64


class Flights:
    """Watches the real cache: which tags were claimed in vain, and how each claim ended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.claimed: Counter[bytes] = Counter()
        self.put: Counter[bytes] = Counter()
        self.abandoned: Counter[bytes] = Counter()
        claim, put, abandon = VerdictCache.claim, VerdictCache.put, VerdictCache.abandon

        def claim_watched(
            cache: VerdictCache, tag: bytes, components: int
        ) -> tuple[tuple[bool, ...] | None, bool]:
            found = claim(cache, tag, components)
            self.claimed[tag] += found[0] is None
            return found

        def put_watched(cache: VerdictCache, tag: bytes, verdicts: tuple[bool, ...]) -> None:
            put(cache, tag, verdicts)
            self.put[tag] += 1

        def abandon_watched(cache: VerdictCache, tag: bytes) -> None:
            abandon(cache, tag)
            self.abandoned[tag] += 1

        monkeypatch.setattr(VerdictCache, "claim", claim_watched)
        monkeypatch.setattr(VerdictCache, "put", put_watched)
        monkeypatch.setattr(VerdictCache, "abandon", abandon_watched)

    def ended(self) -> tuple[int, int, int]:
        """Claims, claims ended by a verdict, claims given up; each tag's sums must agree."""
        assert +self.claimed == self.put + self.abandoned
        return self.claimed.total(), self.put.total(), self.abandoned.total()


@pytest.fixture
def api(tmp_path: Path) -> FakeApi:
    return FakeApi(tmp_path)


@pytest.fixture
def body(api: FakeApi) -> dict[str, object]:
    api.create("Ed25519", "k")
    body = {"key_id": "k", "message": b64(b"message")}
    return {**body, "signature": api.post("sign", body).json["signature"]}


def test_a_verdict_ends_the_claim(
    api: FakeApi, body: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    flights = Flights(monkeypatch)
    assert [api.post("verify", body).json["cache"] for _ in range(2)] == ["miss", "hit"]
    assert api.post("verify", {**body, "signature": b64(bytes(64))}).json["valid"] is False
    assert flights.ended() == (2, 2, 0)


def test_an_unacceptable_inline_key_gives_the_claim_up(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    flights = Flights(monkeypatch)
    small_order = {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}
    inline = {"public_key": small_order, "message": b64(b"m"), "signature": b64(bytes(64))}
    assert "no acceptable Ed25519 key" in api.post("verify", inline).json["detail"]
    assert flights.ended() == (1, 0, 1)


@pytest.mark.parametrize("owner, method", [(Gate, "top_up"), (Verifying, "compute")])
def test_a_refusal_gives_the_claim_up(
    api: FakeApi,
    body: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    method: str,
) -> None:
    def refuse(*_: object) -> None:
        raise Saturated("all permits are in use")

    flights = Flights(monkeypatch)
    with monkeypatch.context() as refusing:
        refusing.setattr(owner, method, refuse)
        assert api.post("verify", body).json["code"] == "saturated"
    assert flights.ended() == (1, 0, 1)
    assert api.post("verify", body).json["cache"] == "miss"
    assert flights.ended() == (2, 1, 1)


def test_a_batch_claims_nothing_so_equal_items_do_not_wait_for_each_other(
    api: FakeApi, body: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    flights = Flights(monkeypatch)
    answer = api.post("verify", {"items": [body, body]})
    assert answer.status_code == 200, answer.json
    assert flights.claimed.total() == 0
    assert flights.put.total() == 1
