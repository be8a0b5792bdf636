"""Concurrent creates, rotates and signatures against a server that may die at any moment."""

from __future__ import annotations

import base64
import os
import threading
from dataclasses import dataclass, field
from typing import Any

import httpx

MESSAGE = b"what was acknowledged stays"
ALGS = ("Ed25519", "Ed25519", "ES256", "ML-DSA-65")
VERSIONS = 4
"""A key is created, rotated until it has so many versions, and left."""


@dataclass
class Acknowledged:
    """What the server said that it did. ``signatures`` is by key id and version."""

    versions: dict[str, int] = field(default_factory=dict)
    algs: dict[str, str] = field(default_factory=dict)
    signatures: dict[tuple[str, int], bytes] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    """Answers that were neither a success nor a refusal for want of capacity."""

    def made(self) -> set[tuple[str, int]]:
        """Every acknowledged (key id, version)."""
        return {(key_id, number + 1) for key_id, newest in self.versions.items() for number in range(newest)}

    def update(self, other: Acknowledged) -> None:
        """Adds those of ``other``."""
        self.versions |= other.versions
        self.algs |= other.algs
        self.signatures |= other.signatures
        self.unexpected += other.unexpected


class KeyLoad:
    """``threads`` clients, each on own keys, until :meth:`stop`. A lost connection acknowledges nothing."""

    def __init__(self, url: str, token: str, *, prefix: str, threads: int = 4) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._stopping = threading.Event()
        self._results = [Acknowledged() for _ in range(threads)]
        self._threads = [
            threading.Thread(target=self._run, args=(f"{prefix}-{number}", result), daemon=True)
            for number, result in enumerate(self._results)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> Acknowledged:
        """Ends the load; all that was acknowledged."""
        self._stopping.set()
        total = Acknowledged()
        for thread, result in zip(self._threads, self._results, strict=True):
            thread.join(30)
            assert not thread.is_alive()
            total.update(result)
        return total

    def _run(self, prefix: str, result: Acknowledged) -> None:
        number = 0
        client = self._client()
        while not self._stopping.is_set():
            alg = ALGS[number % len(ALGS)]
            try:
                self._one_key(client, f"{prefix}-{number}", alg, result)
            except httpx.TransportError:
                # Only a fresh pool is sure to hold no connection to a process that has died.
                client.close()
                client = self._client()
                self._stopping.wait(0.02)
            number += 1
        client.close()

    def _client(self) -> httpx.Client:
        # Plain HTTP: loading the certificate store would take longer than a round.
        return httpx.Client(base_url=self._url, headers=self._headers, timeout=10, verify=False)

    def _one_key(self, client: httpx.Client, key_id: str, alg: str, result: Acknowledged) -> None:
        body: dict[str, str] = {"alg": alg, "usage": "sign", "key_id": key_id}
        made = self._post(client, "/v1/kms/keys", body, result)
        for _ in range(VERSIONS):
            if made is None or self._stopping.is_set():
                return
            version = made["key_version"]
            result.versions[key_id] = version
            result.algs[key_id] = alg
            message = base64.b64encode(MESSAGE).decode()
            signed = self._post(client, "/v1/kms/sign", {"key_id": key_id, "message": message}, result)
            if signed is not None:
                result.signatures[key_id, signed["key_version"]] = base64.b64decode(signed["signature"])
            if version == VERSIONS:
                return
            made = self._post(client, "/v1/kms/keys/rotate", {"key_id": key_id}, result)

    def _post(
        self, client: httpx.Client, path: str, body: dict[str, str], result: Acknowledged
    ) -> dict[str, Any] | None:
        answer = client.post(path, json=body)
        if answer.is_success:
            parsed: dict[str, Any] = answer.json()
            return parsed
        if answer.status_code not in (429, 503):
            result.unexpected.append(f"{path} {answer.status_code} {answer.text[:200]}")
        return None


def random_delay(least: float, most: float) -> float:
    """Seconds between ``least`` and ``most``, from the system's randomness."""
    return least + (most - least) * int.from_bytes(os.urandom(4), "big") / 2**32
