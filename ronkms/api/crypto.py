"""Handlers of sign, verify, wrap, unwrap and datakey."""

from __future__ import annotations

from binascii import b2a_base64
from functools import lru_cache, partial
from typing import Final

import msgspec
from msgspec import UNSET

from ronkms.api.answer import Answer, json_answer
from ronkms.api.context import Context
from ronkms.api.decode import decode, decode_crypto, decode_one_or_many
from ronkms.api.incoming import MAX_BATCH_BODY, Incoming
from ronkms.api.plain_items import plain_signs, plain_verifies
from ronkms.api.schemas import (
    DataKeyRequest,
    SignBatchResponse,
    SignItem,
    SignRequest,
    UnwrapRequest,
    VerifyBatchResponse,
    VerifyItem,
    VerifyRequest,
    WrapRequest,
)
from ronkms.domain.jwk import public_from_jwk
from ronkms.errors import BadRequest, KmsError
from ronkms.service.call import Call
from ronkms.service.crypto_input import CryptoInput
from ronkms.service.results import Signature, SignedAlike, Verification
from ronkms.service.sign import Prepared
from ronkms.service.verify_candidates import Check

_SIGN: Final = msgspec.json.Decoder(SignRequest)
_VERIFY: Final = msgspec.json.Decoder(VerifyRequest)
_WRAP: Final = msgspec.json.Decoder(WrapRequest)
_UNWRAP: Final = msgspec.json.Decoder(UnwrapRequest)
_DATA_KEY: Final = msgspec.json.Decoder(DataKeyRequest)
_JWK: Final = msgspec.json.Decoder(dict[str, object])

_EMPTY_SIGNATURE: Final = b'"signature":""'
MAX_JWK: Final = 16 * 1024


def sign(context: Context, call: Call, incoming: Incoming) -> Answer:
    """POST /v1/kms/sign: one, or a batch."""
    body = incoming.json_body(MAX_BATCH_BODY)
    call.background = incoming.presses
    if not call.capability.binds_message and (plain := plain_signs(body)) is not None:
        return _signed(context, call, context.service.plain_batches.sign(call, plain))
    request = decode_one_or_many(_SIGN, body)
    if isinstance(request, list):
        return _sign_batch(context, call, request)
    signature = context.service.signing.sign(call, request.key_id, _input(request))
    if request.receipt:
        call.completion = partial(_with_receipt, context, signature)
    return json_answer(signature)


def _with_receipt(context: Context, signature: Signature, record: int) -> Answer:
    return json_answer(msgspec.structs.replace(signature, receipt=context.service.receipts.prove(record)))


def verify(context: Context, call: Call, incoming: Incoming) -> Answer:
    """POST /v1/kms/verify: one, or a batch."""
    body = incoming.json_body(MAX_BATCH_BODY)
    call.background = incoming.presses
    if not call.capability.binds_message and (plain := plain_verifies(body)) is not None:
        return _verified(context, call, context.service.plain_batches.verify(call, plain))
    request = decode_one_or_many(_VERIFY, body)
    if isinstance(request, list):
        return _verify_batch(context, call, request)
    return json_answer(context.service.verifying.verify(call, _check(context, call, request)))


def wrap(context: Context, call: Call, incoming: Incoming) -> Answer:
    """POST /v1/kms/wrap."""
    request = decode_crypto(_WRAP, incoming.json_body())
    return json_answer(context.service.wrapping.wrap(call, request.key_id, request.plaintext, _aad(request)))


def unwrap(context: Context, call: Call, incoming: Incoming) -> Answer:
    """POST /v1/kms/unwrap."""
    request = decode_crypto(_UNWRAP, incoming.json_body())
    return json_answer(
        context.service.wrapping.unwrap(call, request.key_id, request.ciphertext, _aad(request))
    )


def data_key(context: Context, call: Call, incoming: Incoming) -> Answer:
    """POST /v1/kms/datakey."""
    request = decode_crypto(_DATA_KEY, incoming.json_body())
    return json_answer(
        context.service.wrapping.data_key(
            call, request.key_id, request.bytes, request.plaintext, _aad(request)
        )
    )


def _input(request: SignRequest | VerifyRequest) -> CryptoInput:
    signature_format = "" if request.signature_format is UNSET else request.signature_format
    if request.mu is not UNSET:
        if request.message is not UNSET or request.prehashed is not UNSET or request.context is not UNSET:
            raise BadRequest("mu stands instead of message, prehashed and context", field="/mu")
        return CryptoInput(request.mu, "mu", b"", signature_format)
    if request.message is UNSET:
        raise BadRequest("Object missing required field `message`", field="/message")
    kind = "message" if request.prehashed is UNSET else request.prehashed
    context = b"" if request.context is UNSET else request.context
    return CryptoInput(request.message, kind, context, signature_format)


def _aad(request: WrapRequest | UnwrapRequest | DataKeyRequest) -> bytes:
    return b"" if request.aad is UNSET else request.aad


def _check(context: Context, call: Call, request: VerifyRequest) -> Check:
    candidates = context.service.verifying.candidates
    given = _input(request)
    if request.key_id is not UNSET:
        if request.public_key is not UNSET:
            raise BadRequest("send key_id or public_key, not both", field="/public_key")
        version = None if request.key_version is UNSET else request.key_version
        return candidates.of_key(call, request.key_id, version, given, request.signature)
    if request.public_key is UNSET:
        raise BadRequest("send key_id or public_key", field="/key_id")
    if request.key_version is not UNSET:
        raise BadRequest("key_version goes with key_id", field="/key_version")
    raw = bytes(request.public_key)
    if len(raw) > MAX_JWK:
        raise BadRequest(f"public_key is over {MAX_JWK} bytes", field="/public_key")
    alg, public = _public_key(raw)
    return candidates.of_inline(call, alg, public, given, request.signature)


@lru_cache(maxsize=512)
def _public_key(raw: bytes) -> tuple[str, bytes]:
    jwk = decode(_JWK, raw)
    return public_from_jwk(jwk)


def _sign_batch(context: Context, call: Call, items: list[bytes]) -> Answer:
    prepared = [partial(_prepare_sign, context, item) for item in items]
    return _signed(context, call, context.service.batches.sign(call, prepared))


def _signed(context: Context, call: Call, results: list[Signature | KmsError] | SignedAlike) -> Answer:
    if isinstance(results, SignedAlike):
        return Answer(_signed_alike(results))
    answers = []
    for result in results:
        if isinstance(result, KmsError):
            status, error = context.problems.item(result, call.corr_id)
            answers.append(SignItem(status=status, error=error))
        else:
            answers.append(SignItem(status=200, result=result))
    return json_answer(SignBatchResponse(items=answers))


def _signed_alike(results: SignedAlike) -> bytes:
    """What ``_signed`` would make of an answer an item, with only the signatures written anew."""
    one = msgspec.json.encode(SignItem(status=200, result=results.like))
    before, after = one.split(_EMPTY_SIGNATURE)
    before, after = before + _EMPTY_SIGNATURE[:-1], b'"' + after
    items = (after + b"," + before).join([b2a_base64(each, newline=False) for each in results.signatures])
    return b'{"items":[' + before + items + after + b"]}"


def _prepare_sign(context: Context, item: bytes, call: Call) -> Prepared:
    request = decode_crypto(_SIGN, item)
    if request.receipt:
        raise BadRequest(
            "a receipt goes with a single request, not with an item of a batch", field="/receipt"
        )
    return context.service.signing.prepare(call, request.key_id, _input(request))


def _verify_batch(context: Context, call: Call, items: list[bytes]) -> Answer:
    prepared = [partial(_prepare_verify, context, item) for item in items]
    return _verified(context, call, context.service.batches.verify(call, prepared))


def _verified(context: Context, call: Call, results: list[Verification | KmsError]) -> Answer:
    answers = []
    for result in results:
        if isinstance(result, KmsError):
            status, error = context.problems.item(result, call.corr_id)
            answers.append(VerifyItem(status=status, error=error))
        else:
            answers.append(VerifyItem(status=200, result=result))
    return json_answer(VerifyBatchResponse(items=answers))


def _prepare_verify(context: Context, item: bytes, call: Call) -> Check:
    return _check(context, call, decode_crypto(_VERIFY, item))
