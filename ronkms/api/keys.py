"""Handlers of everything below /v1/kms/keys, and of the JWK set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar, get_args

import msgspec
from msgspec import UNSET, UnsetType

from ronkms.api.answer import PEM, Answer, json_answer
from ronkms.api.context import Context
from ronkms.api.decode import decode
from ronkms.api.incoming import Incoming
from ronkms.api.schemas import (
    CreateRequest,
    DestroyRequest,
    DisableRequest,
    ImportParamsRequest,
    ImportRequest,
    PolicyRequest,
    RotateRequest,
    StateRequest,
)
from ronkms.domain.algorithm import ALGORITHMS
from ronkms.domain.key import KEY_ID
from ronkms.domain.key_policy import KeyPolicy, PolicyChange, SignatureFormat
from ronkms.errors import BadRequest
from ronkms.service.call import Call
from ronkms.service.key_policy import NewKey
from ronkms.service.lifecycle import Destroy

_CREATE: Final = msgspec.json.Decoder(CreateRequest)
_ROTATE: Final = msgspec.json.Decoder(RotateRequest)
_STATE: Final = msgspec.json.Decoder(StateRequest)
_DISABLE: Final = msgspec.json.Decoder(DisableRequest)
_DESTROY: Final = msgspec.json.Decoder(DestroyRequest)
_POLICY: Final = msgspec.json.Decoder(PolicyRequest)
_IMPORT_PARAMS: Final = msgspec.json.Decoder(ImportParamsRequest)
_IMPORT: Final = msgspec.json.Decoder(ImportRequest)

DEFAULT_PAGE: Final = 100
_T = TypeVar("_T")


def create(context: Context, call: Call, incoming: Incoming) -> Answer:
    """POST /v1/kms/keys."""
    request = decode(_CREATE, incoming.json_body())
    return json_answer(context.service.lifecycle.create(call, _new_key(request)))


def rotate(context: Context, call: Call, incoming: Incoming) -> Answer:
    """POST /v1/kms/keys/rotate, /v1/kms/rotate."""
    request = decode(_ROTATE, incoming.json_body())
    return json_answer(context.service.lifecycle.rotate(call, request.key_id, _given(request.alg)))


def enable(context: Context, call: Call, incoming: Incoming) -> Answer:
    """POST /v1/kms/keys/{key_id}/enable."""
    return json_answer(context.service.lifecycle.enable(call, incoming.params["key_id"], _version(incoming)))


def disable(context: Context, call: Call, incoming: Incoming) -> Answer:
    """POST /v1/kms/keys/{key_id}/disable."""
    body = incoming.json_body(required=False)
    request = decode(_DISABLE, body) if body else DisableRequest()
    lifecycle, key_id = context.service.lifecycle, incoming.params["key_id"]
    version, over = _given(request.key_version), _given(request.over) or 0
    percent = _given(request.percent) or (100 if over else 0)
    if percent and version is not None:
        raise BadRequest("only a whole key is disabled in stages", field="/key_version")
    if not percent or (percent == 100 and not over):
        return json_answer(lifecycle.disable(call, key_id, version))
    return json_answer(lifecycle.disable_in_stages(call, key_id, percent, over))


def restore(context: Context, call: Call, incoming: Incoming) -> Answer:
    """POST /v1/kms/keys/{key_id}/restore."""
    return json_answer(context.service.lifecycle.restore(call, incoming.params["key_id"], _version(incoming)))


def destroy(context: Context, call: Call, incoming: Incoming) -> Answer:
    """POST /v1/kms/keys/{key_id}/destroy."""
    body = incoming.json_body(required=False)
    request = decode(_DESTROY, body) if body else DestroyRequest()
    return json_answer(
        context.service.lifecycle.destroy(
            call,
            incoming.params["key_id"],
            Destroy(
                key_version=_given(request.key_version),
                window_seconds=_given(request.window_seconds),
                dry_run=request.dry_run,
                force=request.force,
            ),
        )
    )


def policy(context: Context, call: Call, incoming: Incoming) -> Answer:
    """POST /v1/kms/keys/{key_id}/policy."""
    change = _policy_change(decode(_POLICY, incoming.json_body()))
    return json_answer(context.service.lifecycle.set_policy(call, incoming.params["key_id"], change))


def import_params(context: Context, call: Call, incoming: Incoming) -> Answer:
    """POST /v1/kms/keys/import/params."""
    body = incoming.json_body(required=False)
    request = decode(_IMPORT_PARAMS, body) if body else ImportParamsRequest()
    return json_answer(
        context.service.importing.params(call, request.mechanism, _given(request.backend) or "")
    )


def import_key(context: Context, call: Call, incoming: Incoming) -> Answer:
    """POST /v1/kms/keys/import."""
    request = decode(_IMPORT, incoming.json_body())
    return json_answer(
        context.service.importing.take(
            call, request.import_id, request.wrapped_key, _new_key(request), request.new_version
        )
    )


def list_keys(context: Context, call: Call, incoming: Incoming) -> Answer:
    """GET /v1/kms/keys."""
    return json_answer(context.service.reading.page(call, *_paging(incoming)))


def jwks(context: Context, call: Call, incoming: Incoming) -> Answer:
    """GET /v1/kms/jwks."""
    return json_answer(context.service.reading.jwks(call, *_paging(incoming)))


def describe(context: Context, call: Call, incoming: Incoming) -> Answer:
    """GET /v1/kms/keys/{key_id}."""
    incoming.query()
    return json_answer(context.service.reading.describe(call, incoming.params["key_id"]))


def public(context: Context, call: Call, incoming: Incoming) -> Answer:
    """GET /v1/kms/keys/{key_id}/public: a JWK, or PEM by Accept."""
    number = _number(incoming.query("key_version"), "key_version")
    key_id = incoming.params["key_id"]
    if incoming.accepts(PEM):
        return Answer(context.service.reading.public_pem(call, key_id, number).encode(), PEM)
    return json_answer(context.service.reading.public_jwk(call, key_id, number))


def _new_key(request: CreateRequest | ImportRequest) -> NewKey:
    if request.key_id is not UNSET and not request.key_id:
        raise BadRequest("key_id is empty; leave it out to have one made", field="/key_id")
    return NewKey(
        alg=request.alg,
        usage=request.usage,
        key_id=_given(request.key_id) or "",
        backend=_given(request.backend) or "",
        labels=request.labels,
        policy=_policy_change(request.policy).applied(KeyPolicy()),
    )


def _policy_change(request: PolicyRequest) -> PolicyChange:
    if request.exportable:
        raise BadRequest(
            "no private key ever leaves the service; leave exportable out", field="/policy/exportable"
        )
    return PolicyChange(
        mu=request.mu,
        not_before=request.not_before,
        not_after=request.not_after,
        min_version=request.min_version,
        rotation_period_seconds=request.rotation_period_seconds,
        max_operations=request.max_operations,
        algs=_in_order(request.algs, ALGORITHMS),
        prehashed=request.prehashed,
        signature_formats=_in_order(request.signature_formats, get_args(SignatureFormat)),
    )


def _in_order(given: list[_T] | UnsetType | None, order: Iterable[str]) -> tuple[_T, ...] | UnsetType | None:
    """Each once, so that the same set is the same policy; what is unknown comes last and is refused later."""
    if given is None or isinstance(given, UnsetType):
        return given
    places = {name: place for place, name in enumerate(order)}
    return tuple(sorted(set(given), key=lambda name: places.get(str(name), len(places))))


def _version(incoming: Incoming) -> int | None:
    body = incoming.json_body(required=False)
    return _given(decode(_STATE, body).key_version) if body else None


def _paging(incoming: Incoming) -> tuple[str, int]:
    query = incoming.query("after", "limit")
    after = query.get("after", "")
    if after and KEY_ID.fullmatch(after) is None:
        raise BadRequest("after must be a key_id", field="/after")
    return after, _number(query, "limit") or DEFAULT_PAGE


def _number(query: dict[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10) or int(text) == 0:
        raise BadRequest(f"{name} must be a positive whole number", field=f"/{name}")
    return int(text)


def _given(value: _T | UnsetType) -> _T | None:
    return None if isinstance(value, UnsetType) else value
