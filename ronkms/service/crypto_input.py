"""What is signed or verified: a message, a digest of one, or an ML-DSA mu; and whether a key takes it."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec

from ronkms.domain.algorithm import Algorithm, Usage
from ronkms.domain.key_policy import KeyPolicy
from ronkms.errors import BadRequest, TooLarge

MAX_MESSAGE: Final = 1024 * 1024
MAX_CONTEXT: Final = 255
MU_SIZE: Final = 64


class CryptoInput(msgspec.Struct, frozen=True, gc=False):
    """``kind``: ``message``, ``sha256``, ``sha384`` (``data`` is that digest) or ``mu`` (FIPS 204, 64 bytes).

    ``signature_format``: ``der``, ``p1363``, or empty for the algorithm's default.
    """

    data: bytes
    kind: str = "message"
    context: bytes = b""
    signature_format: str = ""

    @property
    def p1363(self) -> bool:
        """ECDSA signatures are r || s instead of DER."""
        return self.signature_format == "p1363"

    @property
    def plain(self) -> bool:
        """Fit for the native batch calls, which take messages and contexts only."""
        return self.kind == "message" and not self.p1363

    def message_digest(self) -> bytes:
        """SHA-256 of the message (32 bytes), or empty where only another digest is known."""
        if self.kind == "message":
            return sha256(self.data).digest()
        return self.data if self.kind == "sha256" else b""

    def check_sizes(self) -> None:
        """Raises TooLarge (message), BadRequest (context, mu)."""
        if len(self.data) > MAX_MESSAGE:
            raise TooLarge(f"message is over {MAX_MESSAGE} bytes; sign a digest with prehashed")
        if len(self.context) > MAX_CONTEXT:
            raise BadRequest(f"context is over {MAX_CONTEXT} bytes", field="/context")
        if self.kind == "mu" and len(self.data) != MU_SIZE:
            raise BadRequest(f"mu must be {MU_SIZE} bytes", field="/mu")

    def mismatch(self, row: Algorithm) -> BadRequest | None:
        """Why the algorithm does not take this input; None if it does."""
        if row.usage is not Usage.SIGN:
            return BadRequest(f"{row.name} does not sign", field="/key_id")
        if self.context and not row.context:
            return BadRequest(f"{row.name} takes no context", field="/context")
        if self.signature_format and not row.der:
            return BadRequest(
                f"{row.name} has one signature format; leave signature_format out", "/signature_format"
            )
        if self.kind == "message":
            return None
        if self.kind == "mu":
            if row.mu:
                return None
            return BadRequest(f"{row.name} takes no mu; send the message", field="/mu")
        if row.digest != self.kind:
            takes = f"only {row.digest}" if row.digest else "none"
            return BadRequest(f"prehashed: {row.name} takes {takes}", field="/prehashed")
        if len(self.data) != row.digest_size:
            return BadRequest(
                f"message must be the {row.digest_size}-byte {row.digest} digest", field="/message"
            )
        return None

    def require_fit(self, row: Algorithm, policy: KeyPolicy | None = None) -> None:
        """Raises BadRequest unless the algorithm, and the key's ``policy`` if given, take this input."""
        mismatch = self.mismatch(row)
        if mismatch is not None:
            raise mismatch
        if self.kind == "mu" and policy is not None and not policy.mu:
            raise BadRequest("this key's policy does not allow mu; set policy.mu to true", field="/mu")
        if policy is not None and (policy.signature_formats is not None or not policy.prehashed):
            self._require_allowed(row, policy)

    def _require_allowed(self, row: Algorithm, policy: KeyPolicy) -> None:
        if self.kind not in ("message", "mu") and not policy.prehashed:
            raise BadRequest("this key's policy does not allow prehashed; send the message", "/prehashed")
        formats, wanted = policy.signature_formats, self.signature_format or "der"
        if formats is not None and row.der and wanted not in formats:
            raise BadRequest(
                f"this key's policy allows signature_format {' or '.join(formats)}, not {wanted}",
                field="/signature_format",
            )
