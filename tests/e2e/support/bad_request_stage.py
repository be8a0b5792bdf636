"""The server of the bad-request table: keys in each state, tokens of each kind, and what must not change."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.support import raw_http
from tests.server_process import ServerProcess

SECRET = b"do-not-log-7f3a9c-this-plaintext"
"""What is signed and wrapped throughout: it must appear in no answer and in no log line."""

ALGS = {
    "ed": ("Ed25519", "sign"),
    "ec": ("ES256", "sign"),
    "ec384": ("ES384", "sign"),
    "rsa": ("PS256", "sign"),
    "ml": ("ML-DSA-65", "sign"),
    "hybrid": ("MLDSA65-Ed25519-SHA512", "sign"),
    "gcm": ("AES-256-GCM", "wrap"),
    "kwp": ("AES-KWP", "wrap"),
    "xwing": ("X-Wing", "wrap"),
    "off": ("Ed25519", "sign"),
    "doomed": ("Ed25519", "sign"),
    "off-gcm": ("AES-256-GCM", "wrap"),
    "spent": ("Ed25519", "sign"),
}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass
class Stage:
    """Everything a case may refer to. ``tokens``, ``imports`` and ``wrapped`` are by name."""

    server: ServerProcess
    client: httpx.Client
    tokens: dict[str, str] = field(default_factory=dict)
    imports: dict[str, dict[str, Any]] = field(default_factory=dict)
    wrapped: dict[str, bytes] = field(default_factory=dict)
    signature: str = ""
    asked: set[int] = field(default_factory=set)
    """Numbers of the cases that were sent."""

    def ask(
        self,
        path: str,
        body: object = b"",
        *,
        method: str = "POST",
        token: str | None = "admin",
        headers: tuple[tuple[str, str], ...] = (),
        content_type: str | None = "application/json",
        length: bool = True,
    ) -> bytes:
        """The bytes of a request with the token of that name; ``body`` is sent as it is if it is bytes."""
        sent = [*headers]
        if token is not None:
            sent.append(("Authorization", f"Bearer {self.tokens[token]}"))
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        if content_type is not None and raw:
            sent.append(("Content-Type", content_type))
        return raw_http.request(method, path, sent, raw, length=length)

    def snapshot(self) -> dict[str, Any]:
        """The full description of every key of both tenants, but for its uses."""
        described: dict[str, Any] = {}
        for tenant in ("admin", "foreign"):
            headers = {"Authorization": f"Bearer {self.tokens[tenant]}"}
            after = ""
            while True:
                page = self.client.get("/v1/kms/keys", params={"limit": 100, "after": after}, headers=headers)
                answer = page.raise_for_status().json()
                for summary in answer["keys"]:
                    key_id = summary["key_id"]
                    one = self.client.get(f"/v1/kms/keys/{key_id}", headers=headers)
                    description = one.raise_for_status().json()
                    for version in description["versions"]:
                        version.pop("last_used", None)
                    described[f"{tenant}/{key_id}"] = description
                if "next" not in answer:
                    break
                after = answer["next"]
        return described


def set_up(server: ServerProcess, client: httpx.Client) -> Stage:
    """Makes the keys, the tokens and the material of a stage."""
    stage = Stage(server, client)
    stage.tokens["admin"] = server.token
    every = ["sign", "verify", "wrap", "unwrap", "create", "import", "rotate", "state", "read"]
    stage.tokens["foreign"] = server.mint(op=every, key="*", tenant="other")
    stage.tokens["expired"] = server.mint(op=["sign"], key="*", ttl="1s")
    expires = time.monotonic() + 1.1
    stage.tokens["sign-only"] = server.mint(op=["sign"], key="*")
    stage.tokens["verify-only"] = server.mint(op=["verify"], key="*")
    stage.tokens["read-only"] = server.mint(op=["read"], key="*")
    stage.tokens["orders"] = server.mint(op=every, key="orders-*")
    stage.tokens["admin-only"] = server.mint(op=["admin"], key="*")
    revoked = server.mint(op=["sign"], key="*")
    stage.tokens["revoked"] = revoked
    server.ronctl("cap", "revoke", revoked)

    for name, (alg, usage) in ALGS.items():
        _post(client, "/v1/kms/keys", {"alg": alg, "usage": usage, "key_id": name})
    _post(client, "/v1/kms/keys/off/disable")
    _post(client, "/v1/kms/keys/off-gcm/disable")
    _post(client, "/v1/kms/keys/doomed/destroy")
    _post(client, "/v1/kms/keys/spent/policy", {"max_operations": 1})
    _post(client, "/v1/kms/sign", {"key_id": "spent", "message": b64(SECRET)})
    headers = {"Authorization": f"Bearer {stage.tokens['foreign']}"}
    _post(client, "/v1/kms/keys", {"alg": "Ed25519", "usage": "sign", "key_id": "theirs"}, headers)

    stage.signature = _post(client, "/v1/kms/sign", {"key_id": "ed", "message": b64(SECRET)})["signature"]
    for name in ("gcm", "kwp", "xwing"):
        answer = _post(client, "/v1/kms/wrap", {"key_id": name, "plaintext": b64(SECRET)})
        stage.wrapped[name] = base64.b64decode(answer["ciphertext"])
    bound = {"key_id": "gcm", "plaintext": b64(SECRET), "aad": b64(b"invoice 7")}
    stage.wrapped["gcm+aad"] = base64.b64decode(_post(client, "/v1/kms/wrap", bound)["ciphertext"])
    time.sleep(max(0.0, expires - time.monotonic()))
    return stage


def _post(
    client: httpx.Client, path: str, body: object = None, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    answer = client.post(path, json=body, headers=headers)
    assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
    result: dict[str, Any] = answer.json()
    return result
