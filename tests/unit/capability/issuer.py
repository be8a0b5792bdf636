"""An issuer of tokens in memory: registry without a disk, a seal that binds, a clock to set."""

from __future__ import annotations

import hashlib
import hmac
import os

from ronkms.capability.mint import CapabilityMint
from ronkms.capability.state import CapabilityState, Entry, encode
from ronkms.capability.verifier import BiscuitVerifier

START = 1_800_000_000.0


class SettableClock:
    """A wall clock that can be set, beside a monotonic one."""

    def __init__(self) -> None:
        self.unix = START
        self.since_boot = 1000.0

    def wall(self) -> float:
        return self.unix

    def elapsed(self) -> float:
        return self.since_boot

    def pass_seconds(self, seconds: float) -> None:
        self.unix += seconds
        self.since_boot += seconds


class MemoryRegistry:
    """The registry's interface over a list."""

    def __init__(self) -> None:
        self.state = CapabilityState()
        self.entries: list[bytes] = []
        self.refreshes = 0

    def settled(self) -> int:
        return len(self.entries)

    def refresh(self) -> None:
        self.refreshes += 1

    def after_fork(self) -> None:
        pass

    def append(self, entry: Entry) -> None:
        raw = encode(entry)
        self.entries.append(raw)
        self.state.apply(len(self.entries), raw)


class BindingSeal:
    """Seals nothing, but refuses what was sealed under another identity."""

    def __init__(self) -> None:
        self._key = os.urandom(32)

    def seal_secret(self, secret: bytes, identity: bytes) -> bytes:
        return hmac.digest(self._key, identity + secret, hashlib.sha256) + secret

    def open_secret(self, sealed: bytes, identity: bytes) -> bytes:
        secret = sealed[32:]
        if not hmac.compare_digest(sealed[:32], hmac.digest(self._key, identity + secret, hashlib.sha256)):
            raise ValueError("damaged")
        return secret


class Issuer:
    """A mint and a verifier over one registry."""

    def __init__(self) -> None:
        self.clock = SettableClock()
        self.registry = MemoryRegistry()
        self.mint = CapabilityMint(self.registry, BindingSeal(), clock=self.clock)
        self.mint.ensure_root()
        self.verifier = BiscuitVerifier(self.registry, clock=self.clock)
