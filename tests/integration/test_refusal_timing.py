"""The time of a 401 or 403 does not tell whether the key exists, on any way through the service.

Requests go to the WSGI application of a worker in this process, with its store, audit log and native engine.
A control delays the lookup of keys that exist, and must be found out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, Final

import falcon.testing
import pytest
from biscuit_auth import BlockBuilder

from bench.interleave import one_core
from bench.wsgi_operations import TENANT, composed
from ronkms.app import Application
from ronkms.capability.attenuate import Attenuation, attenuate, read_token
from ronkms.capability.inspection import last_block_id
from ronkms.capability.mint import CapabilityMint
from ronkms.domain.operation import Operation
from ronkms.service.call import Call
from tests.integration.paired_timing import Difference, difference, spin

KEYS: Final = 16
LIMIT: Final = 2.0
"""Microseconds. A refusal takes 60 to 200, and the control adds 20."""
MOST: Final = 20_000
LONG_LIMIT: Final = 0.5
LONG_PAIRS: Final = 20_000
LONG_MOST: Final = 200_000
CONTROL: Final = 20.0
SIGNATURE: Final = "A" * 86 + "=="

ROUTES: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "sign": ("POST", "/v1/kms/sign", {"message": "bQ=="}),
    "verify": ("POST", "/v1/kms/verify", {"message": "bQ==", "signature": SIGNATURE}),
    "read": ("GET", "/v1/kms/keys/{key}", {}),
}
MORE_ROUTES: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "public": ("GET", "/v1/kms/keys/{key}/public", {}),
    "rotate": ("POST", "/v1/kms/keys/rotate", {}),
    "disable": ("POST", "/v1/kms/keys/{key}/disable", {}),
    "destroy": ("POST", "/v1/kms/keys/{key}/destroy", {}),
    "policy": ("POST", "/v1/kms/keys/{key}/policy", {"min_version": 1}),
    "wrap": ("POST", "/v1/kms/wrap", {"plaintext": "bQ=="}),
    "unwrap": ("POST", "/v1/kms/unwrap", {"ciphertext": SIGNATURE}),
    "datakey": ("POST", "/v1/kms/datakey", {}),
}


class Stage:
    """A worker with keys ``there-NN``, and tokens that are refused on them."""

    def __init__(self, application: Application, admin: str) -> None:
        self.application = application
        self.existing = [f"there-{number:02}" for number in range(KEYS)]
        self.missing = [f"other-{number:02}" for number in range(KEYS)]
        self.mint = CapabilityMint(application.capability_registry, application.custody)
        for key_id in [*self.existing, "mine-00"]:
            self.ask(
                admin, "POST", "/v1/kms/keys", {"key_id": key_id, "alg": "Ed25519", "usage": "sign"}, 201
            )
        free, mine = self._token("*"), self._token("mine-*")
        method, path, body = ROUTES["sign"]
        for key_id in (*self.existing, "mine-00"):
            for _ in range(3):  # the engine learns the token, then the keys
                self.ask(free, method, path, {"key_id": key_id, **body}, 200)
        for _ in range(3):
            self.ask(mine, method, path, {"key_id": "mine-00", **body}, 200)
            self.ask(mine, "POST", ROUTES["verify"][1], {"key_id": "mine-00", **ROUTES["verify"][2]}, 200)
        assert application.wsgi._hot_path is not None
        assert application.wsgi._hot_path.engine.token(0, f"Bearer {mine}") is not None
        narrowed = attenuate(free, Attenuation(keys=("mine-*",)))
        own = read_token(free).append(BlockBuilder('check if key($k), $k.ends_with("mine")')).to_base64()
        revoked = self._token("*")
        self.mint.revoke(last_block_id(revoked))
        self.tokens = {
            "no right": self.mint.mint(TENANT, [(Operation.AUDIT, "*")], 3600).token,
            "another key": self._token("never-*"),
            "a check on the key": narrowed,
            "a check of its own making": own,
            "known to the engine": mine,
            "a check on the algorithm": attenuate(free, Attenuation(algs=("ES256",))),
            "revoked": revoked,
            "no token": "not-a-token",
        }

    def _token(self, pattern: str) -> str:
        return self.mint.mint(TENANT, [(op, pattern) for op in Operation], 3600).token

    def ask(self, token: str, method: str, path: str, body: dict[str, Any], status: int) -> None:
        self.prepared(token, method, path, body, status)()

    def prepared(
        self, token: str, method: str, path: str, body: dict[str, Any], status: int
    ) -> Callable[[], None]:
        """One request that is sent when called. Raises AssertionError for another status."""
        content = json.dumps(body).encode() if method == "POST" else b""
        environ: dict[str, Any] = falcon.testing.create_environ(
            path,
            method=method,
            body=content,
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
        )
        wsgi = self.application.wsgi

        def send() -> None:
            got: list[str] = []
            answer = wsgi(environ | {"wsgi.input": BytesIO(content)}, lambda line, *_: got.append(line))
            whole = b"".join(answer)
            assert got[0].startswith(str(status)), (path, got, whole)

        return send

    def calls(
        self, token: str, route: tuple[str, str, dict[str, Any]], keys: list[str]
    ) -> Callable[[int], None]:
        """By number, one refused request on one of ``keys``."""
        method, path, body = route
        status = 401 if token in (self.tokens["revoked"], self.tokens["no token"]) else 403
        sends = [
            self.prepared(token, method, path.format(key=key_id), {"key_id": key_id, **body}, status)
            if "{key}" not in path
            else self.prepared(token, method, path.format(key=key_id), body, status)
            for key_id in keys
        ]
        return lambda number: sends[number % len(sends)]()

    def compare(self, token: str, route: tuple[str, str, dict[str, Any]], **pairs: Any) -> Difference:
        """Refusals on keys that exist against those on keys that do not."""
        there, missing = (self.calls(token, route, keys) for keys in (self.existing, self.missing))
        with one_core():
            return difference(there, missing, **pairs)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with composed() as (application, admin):
        yield Stage(application, admin)


DENIED: Final = [
    "no right",
    "another key",
    "a check on the key",
    "a check of its own making",
    "known to the engine",
]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("token", [*DENIED, "revoked", "no token"])
def test_a_refusal_takes_the_same_time(stage: Stage, token: str, route: str) -> None:
    found = stage.compare(stage.tokens[token], ROUTES[route], limit=LIMIT, most=MOST)
    print(f"{route}, {token}: {found}")
    assert found.within(LIMIT), f"{route}, {token}: {found}"


def delay(stage: Stage, monkeypatch: pytest.MonkeyPatch, microseconds: float) -> None:
    """A lookup that takes longer for a key that exists, before the decision."""
    access = stage.application.service.access
    find = access.find

    def slow(call: Call, key_id: str, message_digest: bytes = b"") -> Any:
        if stage.application.store.find(call.tenant, key_id) is not None:
            spin(microseconds)
        return find(call, key_id, message_digest)

    monkeypatch.setattr(access, "find", slow)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("token", ["another key", "known to the engine"])
def test_a_delay_of_20_microseconds_is_found_out(
    stage: Stage, token: str, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    delay(stage, monkeypatch, CONTROL)
    found = stage.compare(stage.tokens[token], ROUTES[route], limit=LIMIT, most=MOST)
    print(f"{route}, {token}, delayed: {found}")
    assert found.beyond(LIMIT), f"{route}, {token}: {found}"


@pytest.mark.long
@pytest.mark.parametrize("route", [*ROUTES, *MORE_ROUTES])
@pytest.mark.parametrize("token", [*DENIED, "a check on the algorithm", "revoked", "no token"])
def test_a_refusal_takes_the_same_time_on_every_route(stage: Stage, token: str, route: str) -> None:
    found = stage.compare(
        stage.tokens[token],
        (ROUTES | MORE_ROUTES)[route],
        limit=LONG_LIMIT,
        least=LONG_PAIRS,
        most=LONG_MOST,
    )
    print(f"\n{found.pairs} pairs: {route}, {token}: {found}")
    assert found.within(LONG_LIMIT), f"{route}, {token}: {found}"


@pytest.mark.long
def test_two_microseconds_are_found_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the long form can see."""
    delay(stage, monkeypatch, 2.0)
    found = stage.compare(
        stage.tokens["another key"], ROUTES["sign"], limit=LONG_LIMIT, least=LONG_PAIRS, most=LONG_MOST
    )
    print(f"\n{found.pairs} pairs: delayed by 2 us: {found}")
    assert found.beyond(LONG_LIMIT)
