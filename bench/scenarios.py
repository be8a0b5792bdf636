"""The kinds of requests that the HTTP benches send, and the keys and tokens that they need."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from bench.load import Request
from tests.server_process import ServerProcess

SIGN, VERIFY, WRAP = "/v1/kms/sign", "/v1/kms/verify", "/v1/kms/wrap"
BATCH_ITEMS = 256
BATCH_CONNECTIONS = 4
"""Enough to keep both workers busy."""
INFLIGHT = 4096
"""In-flight units of the server that is measured: no batch of a scenario is shed."""
RECURRING = 64
"""Signatures that are verified again and again."""


@dataclass(frozen=True)
class Scenario:
    """One kind of load. ``aim`` is the ratio to the floor that is wanted (None: no aim)."""

    name: str
    requests: Sequence[Request]
    aim: float | None = None
    refused: bool = False
    """All answers are 4xx, else all are 2xx."""
    items: int = 1
    """Signatures a request; more than one is compared with the core's raw speed, not with the floor."""
    connections: int | None = None
    """Fewer than the run's."""
    fresh: bool = False
    """The verify cache is emptied before each sample."""


def base64_text(data: bytes) -> str:
    """RFC 4648 section 4, padded."""
    return base64.b64encode(data).decode()


def body(**members: object) -> bytes:
    """A compact JSON object."""
    return json.dumps(members, separators=(",", ":")).encode()


def random_message() -> str:
    """32 random bytes in base64."""
    return base64_text(os.urandom(32))


def make_key(client: httpx.Client, key_id: str, alg: str, usage: str) -> None:
    """Creates a key. Raises httpx.HTTPStatusError."""
    client.post("/v1/kms/keys", json={"alg": alg, "usage": usage, "key_id": key_id}).raise_for_status()


def signed(client: httpx.Client, key_id: str, count: int) -> list[bytes]:
    """Verify bodies of ``count`` distinct messages, signed in batches."""
    bodies: list[bytes] = []
    for start in range(0, count, 1000):
        messages = [random_message() for _ in range(start, min(start + 1000, count))]
        items = [{"key_id": key_id, "message": message} for message in messages]
        answer = client.post(SIGN, json={"items": items}, timeout=60).raise_for_status().json()
        for message, item in zip(messages, answer["items"], strict=True):
            bodies.append(body(key_id=key_id, message=message, signature=item["result"]["signature"]))
    return bodies


def scenarios(server: ServerProcess, misses: int) -> list[Scenario]:
    """All scenarios; ``misses`` is how many signatures ``verify miss`` has, more than a sample sends."""
    token = server.token
    with httpx.Client(base_url=server.api_url, headers={"Authorization": f"Bearer {token}"}) as client:
        make_key(client, "bench-ed", "Ed25519", "sign")
        make_key(client, "bench-ml", "ML-DSA-65", "sign")
        make_key(client, "bench-wrap", "AES-256-GCM", "wrap")
        miss = [Request(VERIFY, token, item) for item in signed(client, "bench-ed", misses)]
        hit = [Request(VERIFY, token, item) for item in signed(client, "bench-ed", RECURRING)]
    limited = server.mint(op=["verify"], key="nothing-*")

    def sign(key_id: str, bearer: str = token) -> list[Request]:
        return [Request(SIGN, bearer, body(key_id=key_id, message=random_message())) for _ in range(512)]

    return [
        Scenario("sign Ed25519", sign("bench-ed"), aim=0.9),
        Scenario("sign ML-DSA-65", sign("bench-ml"), aim=0.65),
        Scenario("verify hit", hit, aim=1.0),
        Scenario("verify miss", miss, fresh=True),
        Scenario("mixed", mixed(hit, sign("bench-ed"), wraps(token)), aim=0.85),
        Scenario(
            "batch sign Ed25519",
            [batch(token) for _ in range(16)],
            aim=0.7,
            items=BATCH_ITEMS,
            connections=BATCH_CONNECTIONS,
        ),
        Scenario("401", sign("bench-ed", "not-a-token"), aim=0.9, refused=True),
        Scenario("403", sign("bench-ed", limited), aim=0.9, refused=True),
    ]


def wraps(token: str) -> list[Request]:
    """Wraps 32 random bytes, a data key's size."""
    bodies = [body(key_id="bench-wrap", plaintext=random_message()) for _ in range(64)]
    return [Request(WRAP, token, item) for item in bodies]


def batch(token: str) -> Request:
    """``BATCH_ITEMS`` messages under one key in one request."""
    items = [{"key_id": "bench-ed", "message": random_message()} for _ in range(BATCH_ITEMS)]
    return Request(SIGN, token, body(items=items))


def mixed(verify: Sequence[Request], sign: Sequence[Request], wrap: Sequence[Request]) -> list[Request]:
    """70% verify (of recurring signatures), 20% sign, 10% wrap, evenly interleaved."""
    pattern = "vvsvvwvsvv"
    sources = {"v": verify, "s": sign, "w": wrap}
    taken = dict.fromkeys(sources, 0)
    requests = []
    for kind in pattern * 64:
        source = sources[kind]
        requests.append(source[taken[kind] % len(source)])
        taken[kind] += 1
    return requests
