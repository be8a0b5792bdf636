"""The header of wrapped data (docs/formats/envelope.md): which algorithm and key version opens it."""

from __future__ import annotations

from typing import Final

from ronkms.errors import BadRequest

HEADER_SIZE: Final = 9
MAX_PLAINTEXT: Final = 64 * 1024
MAX_AAD: Final = 64 * 1024
MAX_ENVELOPE: Final = MAX_PLAINTEXT + 2048
"""Generous: the largest overhead is X-Wing's, 9 + 1120 + 16 bytes."""

NOT_OPENED: Final = (
    "ciphertext does not open under this key and aad: it is damaged, or was wrapped by another key"
)
"""The one message for every cause, so that a caller learns nothing from it."""

_MAGIC: Final = b"RKE\x01"
_ALG_TO_CODE: Final = {"AES-256-GCM": 1, "AES-KWP": 2, "X-Wing": 3}
_CODE_TO_ALG: Final = {code: alg for alg, code in _ALG_TO_CODE.items()}


def encode_header(alg: str, key_version: int) -> bytes:
    """The 9 bytes before the body. ``alg`` is a wrapping algorithm of ``domain.algorithm``."""
    return _MAGIC + bytes((_ALG_TO_CODE[alg],)) + key_version.to_bytes(4, "big")


def split(envelope: bytes) -> tuple[str, int, bytes, bytes]:
    """(algorithm, key version, header, body). Raises BadRequest with ``NOT_OPENED``."""
    header, body = envelope[:HEADER_SIZE], envelope[HEADER_SIZE:]
    alg = _CODE_TO_ALG.get(header[4]) if len(header) == HEADER_SIZE else None
    key_version = int.from_bytes(header[5:], "big")
    if alg is None or header[:4] != _MAGIC or key_version == 0 or not body:
        raise BadRequest(NOT_OPENED, field="/ciphertext")
    return alg, key_version, header, body
