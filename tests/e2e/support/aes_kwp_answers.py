"""Runs one AES-KWP case through import, wrap and unwrap over HTTP."""

from __future__ import annotations

import base64

from tests.e2e.known_answers.case import WrapCase, b64
from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.key_import import import_key


def aes_kwp_difference(api: ApiClient, key_id: str, case: WrapCase) -> str | None:
    """What differs from the case, or None. The key is imported under ``key_id`` unless it exists.

    The envelope ends with the RFC 5649 ciphertext, so that a case's own ciphertext can take its place.
    """
    imported = import_key(api, "AES-KWP", case.key, key_id=key_id)
    assert imported.status in (201, 409), imported.body
    plaintext = b"?" if case.plaintext is None else case.plaintext
    wrapped = api.ok("/v1/kms/wrap", {"key_id": key_id, "plaintext": b64(plaintext)})
    envelope = base64.b64decode(wrapped["ciphertext"])
    header = envelope[: -_size(plaintext)]
    if case.plaintext is not None and envelope != header + case.ciphertext:
        return f"{case.name}: wrap"
    unwrapped = api.post("/v1/kms/unwrap", {"key_id": key_id, "ciphertext": b64(header + case.ciphertext)})
    if case.plaintext is None:
        refused = (unwrapped.status, unwrapped.body.get("code")) == (400, "bad_request")
        return None if refused else f"{case.name}: not refused"
    right = unwrapped.status == 200 and unwrapped.body["plaintext"] == b64(case.plaintext)
    return None if right else f"{case.name}: unwrap"


def _size(plaintext: bytes) -> int:
    """RFC 5649: padded to 8 bytes, and 8 bytes of integrity value."""
    return -(-len(plaintext) // 8) * 8 + 8
