"""Digest keys over a real native log, and an auditor that shares no code with the server."""

from __future__ import annotations

import hmac
from pathlib import Path

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from ronkms_native import AuditLog, Custody

from ronkms.audit.digest_keys import DigestKeys, KeyedDigest
from ronkms.audit.digest_rotation import DigestRotation
from ronkms.audit.escrow import Recipient
from ronkms.audit.log import AuditLogTrail
from tests.fakes.api import make_arena

ORIGIN = "ron-kms/test"
DAY = 86400


class Auditor:
    """Opens escrows by the page alone (docs/formats/audit-digest.md)."""

    def __init__(self) -> None:
        self._ml_kem, self._ecdh = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
        self.public = (
            self._ml_kem.public_key().public_bytes_raw() + self._ecdh.public_key().public_bytes_raw()
        )
        self.recipient = Recipient(self.public)

    def open(self, sealed: bytes, origin: str, epoch: int) -> bytes:
        """The plain key. Raises cryptography.exceptions.InvalidTag."""
        suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
        info = b"ron-kms audit digest escrow v1\x00%s\x00%d" % (origin.encode(), epoch)
        return suite.decrypt(sealed, hpke.MLKEM768X25519PrivateKey(self._ml_kem, self._ecdh), info=info)

    @staticmethod
    def digest(key: bytes, data: bytes) -> str:
        """As a record has it."""
        return hmac.digest(key, data, "sha256").hex()


class Parts:
    """One process's digest keys, and the rotation, over a log in ``directory``."""

    def __init__(self, directory: Path, custody: Custody, segment_bytes: int = 1 << 20) -> None:
        self.directory = directory
        self.custody = custody
        self.arena = make_arena()
        self.log = AuditLog.open(self.arena, str(directory), segment_bytes)
        self.generation = 0
        self.now = 1_000_000.0
        self.keys = DigestKeys(directory, ORIGIN, custody, lambda: self.generation)
        self.trail = AuditLogTrail(self.log, digests=self.keys)

    def rotation(self, recipient: Recipient | None = None, period_days: int = 0) -> DigestRotation:
        return DigestRotation(
            self.directory,
            ORIGIN,
            custody=self.custody,
            keys=self.keys,
            trail=self.trail,
            bump=self.bump,
            recipient=recipient,
            period_days=period_days,
            clock=lambda: self.now,
        )

    def bump(self) -> None:
        self.generation += 1


class NoDigests:
    """For a trail that records nothing with an input."""

    def digest(self, data: bytes) -> KeyedDigest:
        raise AssertionError("nothing here has an input")

    def after_fork(self) -> None:
        """Nothing to reopen."""
