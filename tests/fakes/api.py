"""The whole API over fakes of store, capabilities, audit and bus, and the real custody and arena."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import falcon.testing
from ronkms_native import Arena, Custody

from ronkms.api.app import create_wsgi
from ronkms.backends.sealed_file import SealedFileBackend
from ronkms.domain.measure import ALGS, COUNTERS, GAUGES, GENERATIONS, OPS, OUTCOMES
from ronkms.service.external_policy import ExternalPolicy
from ronkms.service.kms import KmsService
from tests.fakes.audit import FakeAudit, FakeReceipts
from tests.fakes.bus import FakeBus
from tests.fakes.capabilities import ADMIN, FakeCapabilities
from tests.fakes.policy import FakePolicy
from tests.fakes.store import FakeStore
from tests.fakes.usage import FakeUsage

PEER = "192.0.2.9"
"""Where the requests of the client come from."""


def b64(data: bytes) -> str:
    """As the API writes bytes."""
    return base64.b64encode(data).decode()


def make_arena(inflight_sign: int = 512, inflight_verify: int = 1024) -> Arena:
    """A small arena with this process in its first slot."""
    arena = Arena(
        cache_entries=1024,
        cache_ttl_ms=300_000,
        inflight_sign=inflight_sign,
        inflight_verify=inflight_verify,
        tenant_share_min=0.05,
        slots=2,
        tenants=64,
        ops=list(OPS),
        algs=list(ALGS),
        outcomes=list(OUTCOMES),
        counters=list(COUNTERS),
        gauges=list(GAUGES),
        generations=list(GENERATIONS),
    )
    arena.enter_slot(arena.claim_slot())
    return arena


class FakeApi:
    """One service with its parts in reach, and a client."""

    def __init__(
        self,
        directory: Path,
        *,
        verify_mode: str = "and",
        verify_only: bool = False,
        inflight_sign: int = 512,
        inflight_verify: int = 1024,
        external: Callable[[Arena], ExternalPolicy] | None = None,
    ) -> None:
        self.arena = make_arena(inflight_sign, inflight_verify)
        custody, _ = Custody.create("dev", None)
        self.backend = SealedFileBackend(custody)
        self.store = FakeStore()
        self.audit = FakeAudit()
        self.receipts = FakeReceipts()
        self.bus = FakeBus()
        self.capabilities = FakeCapabilities()
        self.policy = FakePolicy(verify_mode)
        self.usage = FakeUsage()
        self.import_directory = directory / "import"
        self.service = KmsService(
            arena=self.arena,
            store=self.store,
            backends={"file": self.backend},
            capabilities=self.capabilities,
            audit=self.audit,
            receipts=self.receipts,
            bus=self.bus,
            policy=self.policy,
            usage=self.usage,
            recent_use_days=7,
            default_backend="file",
            import_directory=self.import_directory,
            verify_only=verify_only,
            external=None if external is None else external(self.arena),
        )
        self.client = falcon.testing.TestClient(create_wsgi(self.service, self.arena))

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = ADMIN,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
        query: str = "",
    ) -> falcon.testing.Result:
        """One request. ``body`` is sent as JSON; ``raw`` as it is."""
        sent = {} if token is None else {"Authorization": f"Bearer {token}"}
        content = raw if raw is not None else (b"" if body is None else json.dumps(body).encode())
        if content:
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        return self.client.simulate_request(
            method, path, headers=sent, body=content, query_string=query, remote_addr=PEER
        )

    def post(self, path: str, body: Any = None, **more: Any) -> falcon.testing.Result:
        """POST below /v1/kms."""
        return self.call("POST", f"/v1/kms/{path}", body, **more)

    def get(self, path: str, **more: Any) -> falcon.testing.Result:
        """GET below /v1/kms."""
        return self.call("GET", f"/v1/kms/{path}", **more)

    def create(self, alg: str, key_id: str, **more: Any) -> dict[str, Any]:
        """A new key, which must succeed."""
        usage = "wrap" if alg in ("AES-256-GCM", "AES-KWP", "X-Wing") else "sign"
        result = self.post("keys", {"alg": alg, "usage": usage, "key_id": key_id, **more})
        assert result.status_code == 201, result.text
        made: dict[str, Any] = result.json
        return made

    def counter(self, name: str) -> int:
        """A counter of the arena."""
        return self.arena.snapshot().counters.get(name, 0)
