"""Bodies that are no request: one status, a message without the caller's secrets, a pointer to the cause."""

from __future__ import annotations

import json
from base64 import b64encode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronkms.api.decode import decode, decode_crypto, decode_one_or_many
from ronkms.api.incoming import MAX_BODY
from ronkms.api.schemas import CreateRequest, DataKeyRequest, SignRequest, VerifyRequest
from ronkms.errors import BadRequest, TooLarge

SIGN = msgspec.json.Decoder(SignRequest)
VERIFY = msgspec.json.Decoder(VerifyRequest)
CREATE = msgspec.json.Decoder(CreateRequest)
DATA_KEY = msgspec.json.Decoder(DataKeyRequest)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", None),
        (b"{", None),
        (b"null", None),
        (b"[]", None),
        (b'"text"', None),
        (b'{"key_id":"a"} {}', None),
        (b'\xef\xbb\xbf{"key_id":"a","message":""}', None),
        (b'{"key_id":"\xff","message":""}', None),
        (b'{"key_id":"\\ud800","message":""}', None),
        (b'{"key_id":NaN}', None),
        (b'{"key_id":1}', "/key_id"),
        (b'{"key_id":null}', "/key_id"),
        (b'{"message":""}', None),
        (b'{"key_id":"a","message":1}', "/message"),
        (b'{"key_id":"a","message":"***"}', "/message"),
        (b'{"key_id":"a","message":"AAA"}', "/message"),
        (b'{"key_id":"a","message":"_-8="}', "/message"),
        (b'{"key_id":"a","message":"AA==\\n"}', "/message"),
        (b'{"key_id":"a","prehashed":"md5"}', "/prehashed"),
        (b'{"key_id":"a","message":"","colour":"red"}', None),
        (b'{"key_id":"a","context":[]}', "/context"),
    ],
)
def test_misfits_point_to_their_cause(body: bytes, field: str | None) -> None:
    with pytest.raises(BadRequest) as caught:
        decode(SIGN, body)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("decoder", "body"),
    [
        (SIGN, b'{"key_id":"a","message":"","message":""}'),
        (SIGN, b'{"key_id":"a","key_id":"a","message":"","receipt":false}'),
        (DATA_KEY, b'{"key_id":"a","key_id":"b","bytes":16}'),
        (CREATE, b'{"alg":"Ed25519","alg":"ES256","usage":"sign","labels":{}}'),
        (CREATE, b'{"alg":"Ed25519","alg":"ES256","usage":"sign"}'),
    ],
)
def test_a_default_does_not_hide_a_member_that_stands_twice(
    decoder: msgspec.json.Decoder[object], body: bytes
) -> None:
    with pytest.raises(BadRequest, match="the same member twice"):
        decode(decoder, body)


def test_pointers_reach_into_maps() -> None:
    with pytest.raises(BadRequest) as caught:
        decode(CREATE, b'{"alg":"Ed25519","usage":"sign","policy":{"mu":1}}')
    assert caught.value.field == "/policy/mu"


@pytest.mark.parametrize("depth", [10_000, 500_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_deep_nesting_is_refused(depth: int, opening: bytes, closing: bytes) -> None:
    nested = opening * depth + b"1" + closing * depth
    for decoder, name in ((SIGN, b"message"), (VERIFY, b"public_key"), (CREATE, b"labels")):
        with pytest.raises(BadRequest):
            decode(decoder, b'{"' + name + b'":' + nested + b"}")
    with pytest.raises(BadRequest):
        decode_one_or_many(SIGN, b'{"items":' + nested + b"}")


@pytest.mark.parametrize(
    ("decoder", "body"),
    [
        (SIGN, b'{"key_id":"a","key_id":"b","message":""}'),
        (SIGN, b'{"key_id":"a","message":"","mess\\u0061ge":""}'),
        (CREATE, b'{"alg":"Ed25519","usage":"sign","labels":{"a":"1","a":"2"}}'),
        (VERIFY, b'{"signature":"","message":"","public_key":{"kty":"OKP","x":{"a":1,"a":2}}}'),
    ],
)
def test_repeated_members_are_refused(decoder: msgspec.json.Decoder[object], body: bytes) -> None:
    with pytest.raises(BadRequest, match="twice"):
        decode(decoder, body)


def test_numbers_of_many_digits_are_refused() -> None:
    number = b"9" * 100_000
    for body in (b'{"key_id":' + number + b"}", b'{"signature":"","public_key":{"x":' + number + b"}}"):
        with pytest.raises(BadRequest):
            decode(VERIFY, body)


@given(st.binary(max_size=40), st.binary(max_size=10))
def test_canonical_base64_is_taken(message: bytes, context: bytes) -> None:
    body = {"key_id": "a", "message": b64encode(message).decode(), "context": b64encode(context).decode()}
    for indent in (None, 1):
        assert decode_crypto(SIGN, json.dumps(body, indent=indent).encode()).message == message


@pytest.mark.parametrize("message", ["aGl=", "aGk==", "aH==", "/+9=", "AB=="])
def test_stray_bits_are_refused(message: str) -> None:
    with pytest.raises(BadRequest):
        decode_crypto(SIGN, json.dumps({"key_id": "a", "message": message}).encode())


def test_messages_are_short() -> None:
    with pytest.raises(BadRequest) as caught:
        decode(SIGN, json.dumps({"x" * 100_000: 1}).encode())
    assert len(str(caught.value)) <= 200


def test_batches_are_told_apart() -> None:
    single = decode_one_or_many(SIGN, b'{"key_id":"a","message":""}')
    assert isinstance(single, SignRequest)
    for body in (b'{"items":[1,{"a":2}]}', b'{ "\\u0069tems" : [1, {"a":2}] }'):
        items = decode_one_or_many(SIGN, body)
        assert isinstance(items, list)
        assert len(items) == 2
    for body in (b'{"items":[1],"key_id":"a"}', b'{"items":{}}', b'{"items":null}', b'{"items":[]}'):
        with pytest.raises(BadRequest):
            decode_one_or_many(SIGN, body)


def test_limits_of_single_and_batch() -> None:
    padding = b" " * MAX_BODY
    with pytest.raises(TooLarge):
        decode_one_or_many(SIGN, b'{"key_id":"a","message":""}' + padding)
    assert len(decode_one_or_many(SIGN, b'{"items":[1]}' + padding)) == 1  # type: ignore[arg-type]
    with pytest.raises(TooLarge):
        decode_one_or_many(SIGN, json.dumps({"items": [1] * 1001}).encode())


def check_any(body: bytes) -> None:
    for decoder in (SIGN, VERIFY, CREATE):
        try:
            decode_one_or_many(decoder, body)
        except BadRequest as error:
            assert len(str(error)) <= 200


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    check_any(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )
)
def test_no_json_raises_anything_else(value: object) -> None:
    check_any(json.dumps(value).encode())
