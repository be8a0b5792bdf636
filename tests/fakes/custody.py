"""Stands in for ``ronkms_native.Custody`` where only MACs and opaque records matter."""

from __future__ import annotations

import hmac
import os
from hashlib import sha256


class FakeCustody:
    """MACs by the standard library; records and public keys are random bytes."""

    def __init__(self, root: bytes = b"root") -> None:
        self._root = root

    def mac(self, label: str, data: bytes) -> bytes:
        """HMAC-SHA-256 under a key derived for the label."""
        return hmac.digest(hmac.digest(self._root, label.encode(), "sha256"), data, "sha256")

    def generate(self, alg: str, identity: bytes) -> tuple[bytes, bytes]:
        """A record that names its identity by digest, and a public key."""
        return b"sealed" + sha256(identity + alg.encode()).digest() + os.urandom(64), os.urandom(32)
