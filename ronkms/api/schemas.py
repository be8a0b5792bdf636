"""Bodies of requests and answers, as they stand on the wire.

JSON, bytes as base64 (RFC 4648 section 4, padded). Unknown and repeated members and wrong
types are refused. Results that are answers as they are come from ``service.results``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ronkms.domain.algorithm import Usage
from ronkms.domain.key_policy import (
    MAX_OPERATIONS,
    MAX_ROTATION_SECONDS,
    MAX_TIME,
    MIN_ROTATION_SECONDS,
    KeyPolicy,
)
from ronkms.domain.staged_disable import MAX_STAGE_SECONDS
from ronkms.service.results import (
    DataKey,
    ImportParams,
    ItemError,
    Jwks,
    KeyDescription,
    KeyPage,
    KeySummary,
    NewVersion,
    PolicyOf,
    Result,
    Signature,
    StateChange,
    Unwrapped,
    Verification,
    VersionDescription,
    Wrapped,
)

__all__ = [
    "CreateRequest",
    "DataKey",
    "DataKeyRequest",
    "DestroyRequest",
    "DisableRequest",
    "ImportParams",
    "ImportParamsRequest",
    "ImportRequest",
    "ItemError",
    "Jwks",
    "KeyDescription",
    "KeyPage",
    "KeyPolicy",
    "KeySummary",
    "NewVersion",
    "PolicyOf",
    "PolicyRequest",
    "Problem",
    "RotateRequest",
    "SignBatchRequest",
    "SignBatchResponse",
    "SignItem",
    "SignRequest",
    "Signature",
    "StateChange",
    "StateRequest",
    "UnwrapRequest",
    "Unwrapped",
    "Verification",
    "VerifyBatchRequest",
    "VerifyBatchResponse",
    "VerifyItem",
    "VerifyRequest",
    "VersionDescription",
    "WrapRequest",
    "Wrapped",
]

KeyId = Annotated[
    str,
    Meta(
        description="`[a-z0-9][a-z0-9._-]{0,127}`",
        extra_json_schema={"pattern": "^[a-z0-9][a-z0-9._-]{0,127}$", "minLength": 1, "maxLength": 128},
    ),
]
KeyVersionNumber = Annotated[int, Meta(ge=1, le=2**32 - 1, description="Number of a key version, from 1.")]
UnixTime = Annotated[int, Meta(ge=0, le=MAX_TIME, description="Unix seconds, UTC.")]
RotationPeriod = Annotated[
    int, Meta(ge=MIN_ROTATION_SECONDS, le=MAX_ROTATION_SECONDS, description="Seconds.")
]
AlgorithmNames = Annotated[list[str], Meta(min_length=1, max_length=32)]
SignatureFormats = Annotated[list[Literal["der", "p1363"]], Meta(min_length=1, max_length=2)]
OperationCount = Annotated[int, Meta(ge=1, le=MAX_OPERATIONS)]
Context = Annotated[
    bytes,
    Meta(description="ML-DSA and composites: up to 255 bytes that are bound to the signature."),
]
Prehashed = Annotated[
    Literal["sha256", "sha384"],
    Meta(description="`message` is this digest of the message (ES256, PS256: sha256; ES384: sha384)."),
]
SignatureFormat = Annotated[
    Literal["der", "p1363"], Meta(description="ECDSA only: DER (the default), or r||s as in IEEE P1363.")
]
Receipt = Annotated[
    bool,
    Meta(
        description="Not in a batch: `receipt` of the answer proves that the request's own audit record is "
        "in the log (docs/formats/checkpoint.md). Takes some tens of milliseconds."
    ),
]
Message = Annotated[bytes, Meta(description="Up to 1 MiB; may be empty. With `prehashed`, the digest.")]
Mu = Annotated[
    bytes,
    Meta(
        description="ML-DSA: the 64-byte mu (FIPS 204) instead of `message`; the key's policy must allow it."
    ),
]
Aad = Annotated[
    bytes, Meta(description="Up to 64 KiB of data that unwrapping must repeat. AES-KWP takes none.")
]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all request bodies."""


class SignRequest(Request, frozen=True, kw_only=True, gc=False):
    """Signs with the newest enabled version of a key."""

    receipt: Receipt = False
    key_id: KeyId
    message: Message | UnsetType = UNSET
    mu: Mu | UnsetType = UNSET
    prehashed: Prehashed | UnsetType = UNSET
    context: Context | UnsetType = UNSET
    signature_format: SignatureFormat | UnsetType = UNSET


class VerifyRequest(Request, frozen=True, kw_only=True):
    """Verifies by a stored key (`key_id`) or an inline one (`public_key`)."""

    signature: bytes
    key_id: KeyId | UnsetType = UNSET
    key_version: KeyVersionNumber | UnsetType = UNSET
    public_key: Annotated[
        msgspec.Raw | UnsetType,
        Meta(description="A JWK without private members.", extra_json_schema={"type": "object"}),
    ] = UNSET
    message: Message | UnsetType = UNSET
    mu: Mu | UnsetType = UNSET
    prehashed: Prehashed | UnsetType = UNSET
    context: Context | UnsetType = UNSET
    signature_format: SignatureFormat | UnsetType = UNSET


class SignBatchRequest(Request, frozen=True, kw_only=True):
    """Up to 1,000 items in up to 16 MiB."""

    items: Annotated[list[SignRequest], Meta(min_length=1, max_length=1000)]


class VerifyBatchRequest(Request, frozen=True, kw_only=True):
    """Up to 1,000 items in up to 16 MiB."""

    items: Annotated[list[VerifyRequest], Meta(min_length=1, max_length=1000)]


class SignItem(Result, frozen=True, kw_only=True):
    """`status` is what the item alone would have been answered with; `result` if it is 200, else `error`."""

    status: int
    result: Signature | UnsetType = UNSET
    error: ItemError | UnsetType = UNSET


class VerifyItem(Result, frozen=True, kw_only=True):
    """As :class:`SignItem`."""

    status: int
    result: Verification | UnsetType = UNSET
    error: ItemError | UnsetType = UNSET


class SignBatchResponse(Result, frozen=True, kw_only=True):
    """In the order of the request's items."""

    items: list[SignItem]


class VerifyBatchResponse(Result, frozen=True, kw_only=True):
    """In the order of the request's items."""

    items: list[VerifyItem]


class WrapRequest(Request, frozen=True, kw_only=True, gc=False):
    """`plaintext`: 1 byte to 64 KiB."""

    key_id: KeyId
    plaintext: bytes
    aad: Aad | UnsetType = UNSET


class UnwrapRequest(Request, frozen=True, kw_only=True, gc=False):
    """`ciphertext` as wrap or datakey gave it; it names the key version."""

    key_id: KeyId
    ciphertext: bytes
    aad: Aad | UnsetType = UNSET


class DataKeyRequest(Request, frozen=True, kw_only=True, gc=False):
    """A fresh random key of `bytes` bytes; `plaintext: false` gives it wrapped only."""

    key_id: KeyId
    bytes: Literal[16, 32, 64] = 32
    plaintext: bool = True
    aad: Aad | UnsetType = UNSET


class PolicyRequest(Request, frozen=True, kw_only=True, gc=False):
    """Members left out stay as they are; null takes a limit away.

    `mu`: the key signs an external mu (ML-DSA). Before `not_before`, and from `not_after` on, the key does
    nothing; nor does a version below `min_version`, which is at most the newest. `rotation_period_seconds`:
    how old the newest version gets before the service makes the next. `max_operations`: how often each
    version signs or wraps, counted from when it is first set. `algs`: versions of other algorithms do
    nothing, and none are made. `prehashed` false: the key signs no digest that the caller made.
    `signature_formats`: those in which it signs (ECDSA). `exportable` can only be false.
    """

    mu: bool | UnsetType = UNSET
    not_before: UnixTime | UnsetType | None = UNSET
    not_after: UnixTime | UnsetType | None = UNSET
    min_version: KeyVersionNumber | UnsetType = UNSET
    rotation_period_seconds: RotationPeriod | UnsetType | None = UNSET
    max_operations: OperationCount | UnsetType | None = UNSET
    algs: AlgorithmNames | UnsetType | None = UNSET
    prehashed: bool | UnsetType = UNSET
    signature_formats: SignatureFormats | UnsetType | None = UNSET
    exportable: Annotated[bool, Meta(extra_json_schema={"const": False})] = False


class CreateRequest(Request, frozen=True, kw_only=True):
    """`key_id` is made if it is left out. At most 64 labels, names and values up to 128 characters."""

    alg: str
    usage: Usage
    key_id: KeyId | UnsetType = UNSET
    backend: str | UnsetType = UNSET
    labels: dict[str, str] = {}
    policy: PolicyRequest = PolicyRequest()


class RotateRequest(Request, frozen=True, kw_only=True, gc=False):
    """Makes the next version. A key of a classical algorithm can move to its hybrid."""

    key_id: KeyId
    alg: Annotated[
        str | UnsetType,
        Meta(description="The key's algorithm, or the composite it moves to. Default: as the policy says."),
    ] = UNSET


class StateRequest(Request, frozen=True, kw_only=True, gc=False):
    """The whole key, or one version of it. The body may be left out."""

    key_version: KeyVersionNumber | UnsetType = UNSET


class DisableRequest(Request, frozen=True, kw_only=True, gc=False):
    """The whole key, or one version of it. The body may be left out.

    With `percent` the key is disabled in stages: it refuses so many of its requests, picked at random, and
    goes on with the others. With `over` the share grows to `percent` (100 by default) within so many seconds.
    At 100 the key becomes `disabled`. Not for a single version."""

    key_version: KeyVersionNumber | UnsetType = UNSET
    percent: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET
    over: Annotated[int, Meta(ge=1, le=MAX_STAGE_SECONDS, description="Seconds.")] | UnsetType = UNSET


class DestroyRequest(Request, frozen=True, kw_only=True, gc=False):
    """`window_seconds`: 60 to 31,536,000; 7 days by default. The body may be left out.

    `dry_run`: nothing is changed; the answer says who used the key lately and whether its destruction would
    be refused. `force`: destroy it although it was used lately."""

    key_version: KeyVersionNumber | UnsetType = UNSET
    window_seconds: int | UnsetType = UNSET
    dry_run: bool = False
    force: bool = False


class ImportParamsRequest(Request, frozen=True, kw_only=True, gc=False):
    """`mechanism`: how the key will be wrapped. The body may be left out."""

    mechanism: Literal["RSA-OAEP-3072-SHA256-AES-KWP", "HPKE-X-Wing-HKDF-SHA256-AES-256-GCM"] = (
        "RSA-OAEP-3072-SHA256-AES-KWP"
    )
    backend: str | UnsetType = UNSET


class ImportRequest(Request, frozen=True, kw_only=True):
    """`wrapped_key`: the key material, wrapped to the `public_key` of the import params."""

    import_id: Annotated[str, Meta(extra_json_schema={"pattern": "^[0-9a-f]{32}$"})]
    wrapped_key: bytes
    alg: str
    usage: Usage
    key_id: KeyId | UnsetType = UNSET
    backend: str | UnsetType = UNSET
    labels: dict[str, str] = {}
    policy: PolicyRequest = PolicyRequest()
    new_version: bool = False


class Problem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """RFC 9457 problem details. `code` is stable; `field` is a JSON pointer to the cause, if known. `reason`
    says which right or check of the capability refused, to a holder of the right `admin` alone."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    corr_id: str
    field: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET


Jwk = dict[str, Any]
