"""What the OpenAPI document says about each route in words, by the route's name.

Types, paths and methods come from ``api.routes`` and ``api.schemas``; only what code cannot say is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

SIGNING: Final = "Signatures"
WRAPPING: Final = "Wrapping"
KEYS: Final = "Keys"
STATES: Final = "Key states"
IMPORTING: Final = "Import"

TAGS: Final[Mapping[str, str]] = {
    SIGNING: "Sign with a stored key; verify with a stored key or an inline public key. Both take one "
    "request or a batch of `items`.",
    WRAPPING: "Envelope encryption. The `ciphertext` names its key version, so that it opens after a "
    "rotation (docs/formats/envelope.md).",
    KEYS: "Make, list, describe and rotate keys, and publish their public halves.",
    STATES: "Only `enabled` does anything. A key, or one version of it, can be disabled and enabled, "
    "scheduled for destruction and, within the window, restored (to `disabled`).",
    IMPORTING: "Bring an existing key. The service hands out a one-time wrapping key; the key material "
    "arrives wrapped to it and is unwrapped inside the custody. No plain private key crosses the wire.",
}


@dataclass(frozen=True, slots=True)
class Words:
    """``codes``: problem codes besides those that every operation has."""

    tag: str
    summary: str
    description: str
    codes: tuple[str, ...]


_USE: Final = ("not_found", "key_disabled", "backend_unavailable")
_CHANGE: Final = ("not_found", "conflict", "backend_unavailable")

OPERATIONS: Final[Mapping[str, Words]] = {
    "sign": Words(
        SIGNING,
        "Sign",
        "Signs with the newest enabled version of a key. ECDSA gives DER unless `signature_format` is "
        "`p1363`; ML-DSA is hedged; PS256 has a salt of 32 bytes; a composite is the blob of "
        "draft-ietf-lamps-pq-composite-sigs.\n\nIn a batch each item has its own `status`; one bad item "
        "never fails the others.\n\nWith `receipt` the answer waits for a signed checkpoint of the audit log "
        "and proves that this request's record is in it; without one in time it is a 503 "
        "`audit_unavailable`, and the record stays.",
        (*_USE, "key_exhausted", "too_large"),
    ),
    "verify": Words(
        SIGNING,
        "Verify",
        "Answers 200 with `valid`, whatever the signature: a wrong one, or one of the wrong length or "
        "encoding, is `valid: false`, not an error.\n\nWith `key_id` and no `key_version` every enabled "
        "version whose algorithm takes the input is tried, newest first. With `public_key` (a JWK) no key "
        "is stored.\n\n`components` has the verdict of each half of a hybrid signature, `mode` says which "
        "of them counted, and `conformant` is true only if all did verify: under `or` and `pq_only` a "
        "signature may be valid here that the composite draft calls invalid.",
        (*_USE, "pq_policy", "too_large"),
    ),
    "wrap": Words(
        WRAPPING,
        "Wrap",
        "Encrypts up to 64 KiB under the newest enabled version. `aad` is bound and must be repeated to "
        "unwrap; AES-KWP takes none.",
        (*_USE, "key_exhausted", "too_large"),
    ),
    "unwrap": Words(
        WRAPPING,
        "Unwrap",
        "Opens what wrap or datakey gave. A wrong key, a wrong `aad` and a changed `ciphertext` are the same "
        "400.",
        (*_USE, "too_large"),
    ),
    "datakey": Words(
        WRAPPING,
        "Make a data key",
        "A fresh random key, in the clear and wrapped, or with `plaintext: false` wrapped only. Encrypt "
        "with the first, keep the second beside the data.",
        (*_USE, "key_exhausted"),
    ),
    "create_key": Words(
        KEYS,
        "Create a key",
        "Makes a key with version 1; if the tenant's rollout selects it, also its hybrid version 2, and "
        "answers with that. The tenant is the capability's. `Ed25519` is a good first choice, "
        "`MLDSA65-Ed25519-SHA512` where signatures must outlive quantum computers.",
        ("conflict", "backend_unavailable"),
    ),
    "list_keys": Words(
        KEYS,
        "List keys",
        "In the order of key ids. Give `next` as `after` for the next page. Needs a right on all keys.",
        (),
    ),
    "describe_key": Words(KEYS, "Describe a key", "Metadata of a key in any state.", ("not_found",)),
    "public_key": Words(
        KEYS,
        "Get a public key",
        "A JWK, or with `Accept: application/x-pem-file` a SubjectPublicKeyInfo in PEM. Of `key_version`, "
        "or of the version that signs.",
        ("not_found", "key_disabled"),
    ),
    "jwks": Words(
        KEYS,
        "Get the JWK set",
        "The public keys of all enabled versions of the tenant's enabled signing keys. Needs a right on all "
        "keys.",
        (),
    ),
    "rotate_key": Words(
        KEYS,
        "Rotate a key",
        "Makes the next version, which signs and wraps from then on; older versions go on verifying and "
        "unwrapping. Every worker sees the new version before the answer leaves.",
        ("not_found", "key_disabled", "conflict", "backend_unavailable"),
    ),
    "rotate": Words(
        KEYS,
        "Rotate a key (short path)",
        "The same as `POST /v1/kms/keys/rotate`.",
        ("not_found", "key_disabled", "conflict", "backend_unavailable"),
    ),
    "enable_key": Words(STATES, "Enable", "From `disabled` to `enabled`; ends a staged disabling.", _CHANGE),
    "disable_key": Words(
        STATES,
        "Disable",
        "From `enabled` to `disabled`. No request that starts after the answer uses the key, in any worker."
        "\n\nWith `percent` or `over` in stages: of the key's requests a share is refused with 409 "
        "`key_disabled`, drawn anew for each request, so that a repetition may succeed; all items of a batch "
        "share one draw. The share only grows; enable takes it back.",
        _CHANGE,
    ),
    "destroy_key": Words(
        STATES,
        "Schedule destruction",
        "The material goes when the window has passed; the metadata stays. Until then restore takes it back."
        "\n\nA key or version that was used within the last days (setting `destroy_recent_use_days`, 7), or "
        "asked for while it was disabled, is a 409 `conflict` that names the last use, unless `force` is "
        "set. With `dry_run` nothing changes: `dry_run` of the answer has the latest uses by token.",
        _CHANGE,
    ),
    "restore_key": Words(STATES, "Restore", "From `destroy_scheduled` to `disabled`.", _CHANGE),
    "key_policy": Words(
        KEYS,
        "Change a key's policy",
        "In effect for every request that starts after the answer, in any worker. A key outside its window "
        "and a version below `min_version` answer 409 `key_disabled`; a later change of the policy opens "
        "them again. A key outside its window can be rotated. A version that has done its `max_operations` "
        "answers 409 `key_exhausted`; its `operations_left` are in the description of the key.",
        _CHANGE,
    ),
    "import_params": Words(
        IMPORTING,
        "Get a wrapping key",
        "A one-time public key that lives for an hour and works once, in any worker.\n\n- "
        "`RSA-OAEP-3072-SHA256-AES-KWP`: `public_key` is SubjectPublicKeyInfo DER; send RSA-OAEP(SHA-256, "
        "MGF1-SHA-256, empty label) of a random 32-byte AES key, followed by AES-KWP of the key "
        "material.\n- `HPKE-X-Wing-HKDF-SHA256-AES-256-GCM`: `public_key` is the raw X-Wing key; send HPKE "
        "base mode with info `ron-kms import v1` and empty aad: enc, then ciphertext.",
        ("backend_unavailable",),
    ),
    "import_key": Words(
        IMPORTING,
        "Import a key",
        "Key material: PKCS #8 DER for Ed25519, ES256, ES384, PS256 (RSA 2048 to 4096) and ML-DSA (with its "
        "seed); for a composite PKCS #8 or the draft's bare private key (ML-DSA seed, then Ed25519 seed or "
        "ECPrivateKey); 32 raw bytes for AES-256-GCM, AES-KWP and X-Wing. The wrapping key is used up even "
        "if the material is refused. `new_version: true` adds a version to an existing key instead.",
        ("not_found", "conflict", "key_disabled", "backend_unavailable"),
    ),
}
