"""Every route of the API on one page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ronkms.api import crypto, keys
from ronkms.api.answer import JSON, PEM, Answer
from ronkms.api.context import Context
from ronkms.api.incoming import MAX_BATCH_BODY, MAX_BODY, Incoming
from ronkms.api.schemas import (
    CreateRequest,
    DataKey,
    DataKeyRequest,
    DestroyRequest,
    DisableRequest,
    ImportParams,
    ImportParamsRequest,
    ImportRequest,
    Jwk,
    Jwks,
    KeyDescription,
    KeyPage,
    NewVersion,
    PolicyOf,
    PolicyRequest,
    RotateRequest,
    Signature,
    SignBatchRequest,
    SignBatchResponse,
    SignRequest,
    StateChange,
    StateRequest,
    Unwrapped,
    UnwrapRequest,
    Verification,
    VerifyBatchRequest,
    VerifyBatchResponse,
    VerifyRequest,
    Wrapped,
    WrapRequest,
)
from ronkms.domain.operation import Operation
from ronkms.service.call import Call

Handler = Callable[[Context, Call, Incoming], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. ``request`` and ``response`` are msgspec types of the bodies."""

    name: str
    method: str
    path: str
    op: Operation
    """What the capability must grant."""
    handler: Handler
    response: Any
    request: Any = None
    status: int = 200
    batch: tuple[Any, Any] | None = None
    """(request, response) of the form with ``items``."""
    body_optional: bool = False
    query: tuple[str, ...] = ()
    content_types: tuple[str, ...] = (JSON,)
    """What the answer may be, the default first; others by Accept."""

    alias_of: str = ""
    """Name of the route whose operation this is by another path."""

    @property
    def action(self) -> str:
        """The operation, as the external policy is told: one name, whichever path was taken."""
        return self.alias_of or self.name

    @property
    def body_limit(self) -> int:
        """Bytes of the request body."""
        return MAX_BATCH_BODY if self.batch else MAX_BODY


ROUTES: Final = (
    Route(
        "sign",
        "POST",
        "/v1/kms/sign",
        Operation.SIGN,
        crypto.sign,
        Signature,
        SignRequest,
        batch=(SignBatchRequest, SignBatchResponse),
    ),
    Route(
        "verify",
        "POST",
        "/v1/kms/verify",
        Operation.VERIFY,
        crypto.verify,
        Verification,
        VerifyRequest,
        batch=(VerifyBatchRequest, VerifyBatchResponse),
    ),
    Route("wrap", "POST", "/v1/kms/wrap", Operation.WRAP, crypto.wrap, Wrapped, WrapRequest),
    Route("unwrap", "POST", "/v1/kms/unwrap", Operation.UNWRAP, crypto.unwrap, Unwrapped, UnwrapRequest),
    Route("datakey", "POST", "/v1/kms/datakey", Operation.WRAP, crypto.data_key, DataKey, DataKeyRequest),
    Route(
        "create_key",
        "POST",
        "/v1/kms/keys",
        Operation.CREATE,
        keys.create,
        NewVersion,
        CreateRequest,
        status=201,
    ),
    Route(
        "list_keys",
        "GET",
        "/v1/kms/keys",
        Operation.READ,
        keys.list_keys,
        KeyPage,
        query=("after", "limit"),
    ),
    Route("describe_key", "GET", "/v1/kms/keys/{key_id}", Operation.READ, keys.describe, KeyDescription),
    Route(
        "public_key",
        "GET",
        "/v1/kms/keys/{key_id}/public",
        Operation.READ,
        keys.public,
        Jwk,
        query=("key_version",),
        content_types=(JSON, PEM),
    ),
    Route("jwks", "GET", "/v1/kms/jwks", Operation.READ, keys.jwks, Jwks, query=("after", "limit")),
    Route(
        "rotate_key", "POST", "/v1/kms/keys/rotate", Operation.ROTATE, keys.rotate, NewVersion, RotateRequest
    ),
    Route(
        "rotate",
        "POST",
        "/v1/kms/rotate",
        Operation.ROTATE,
        keys.rotate,
        NewVersion,
        RotateRequest,
        alias_of="rotate_key",
    ),
    Route(
        "enable_key",
        "POST",
        "/v1/kms/keys/{key_id}/enable",
        Operation.STATE,
        keys.enable,
        StateChange,
        StateRequest,
        body_optional=True,
    ),
    Route(
        "disable_key",
        "POST",
        "/v1/kms/keys/{key_id}/disable",
        Operation.STATE,
        keys.disable,
        StateChange,
        DisableRequest,
        body_optional=True,
    ),
    Route(
        "destroy_key",
        "POST",
        "/v1/kms/keys/{key_id}/destroy",
        Operation.STATE,
        keys.destroy,
        StateChange,
        DestroyRequest,
        body_optional=True,
    ),
    Route(
        "restore_key",
        "POST",
        "/v1/kms/keys/{key_id}/restore",
        Operation.STATE,
        keys.restore,
        StateChange,
        StateRequest,
        body_optional=True,
    ),
    Route(
        "key_policy",
        "POST",
        "/v1/kms/keys/{key_id}/policy",
        Operation.STATE,
        keys.policy,
        PolicyOf,
        PolicyRequest,
    ),
    Route(
        "import_params",
        "POST",
        "/v1/kms/keys/import/params",
        Operation.IMPORT,
        keys.import_params,
        ImportParams,
        ImportParamsRequest,
        body_optional=True,
    ),
    Route(
        "import_key",
        "POST",
        "/v1/kms/keys/import",
        Operation.IMPORT,
        keys.import_key,
        NewVersion,
        ImportRequest,
        status=201,
    ),
)

DIRECT: Final = ("sign", "verify", "wrap", "unwrap", "datakey")
"""Routes that ``api.entry`` serves in front of the router: fixed paths, a POST each, JSON and 200."""
