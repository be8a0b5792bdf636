"""JSON bodies into request values; what is wrong with them as BadRequest."""

from __future__ import annotations

import re
from typing import Final, TypeVar

import msgspec

from ronkms.api.incoming import MAX_BODY
from ronkms.api.strict_json import refuse_repeated_members, refuse_stray_bits
from ronkms.errors import BadRequest, TooLarge
from ronkms.service.batches import MAX_ITEMS

_T = TypeVar("_T")

_MAX_DETAIL: Final = 200
_PATH: Final = re.compile(r" - at `(?:key in )?\$([^`]*)`")
_STEP: Final = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+|\.\.\.)\]")


class _Items(msgspec.Struct, forbid_unknown_fields=True):
    """Items stay undecoded, so that a bad one does not fail the others."""

    items: list[msgspec.Raw]


class _Probe(msgspec.Struct):
    items: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_ITEMS: Final = msgspec.json.Decoder(_Items)
_PROBE: Final = msgspec.json.Decoder(_Probe)


def decode(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    """Raises BadRequest: no JSON, not of the expected shape, or a member stands twice."""
    value = _decode(decoder, body)
    refuse_repeated_members(body, value)
    return value


def decode_crypto(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    """As :meth:`decode`, for bodies whose strings with ``=`` are base64: that must be canonical."""
    value = decode(decoder, body)
    refuse_stray_bits(body)
    return value


def _decode(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _misfit(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadRequest("the body is not valid JSON (RFC 8259, UTF-8)") from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None


def decode_one_or_many(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T | list[bytes]:
    """One request, or the items of a batch, each to be decoded by ``decode_crypto``.

    Raises BadRequest; TooLarge (a single request over 2 MiB, more than 1,000 items)."""
    try:
        single = decode_crypto(decoder, body)
    except BadRequest:
        if not _is_batch(body):
            raise
    else:
        if len(body) > MAX_BODY:
            raise TooLarge(f"the body is over {MAX_BODY} bytes")
        return single
    items = [bytes(item) for item in _decode(_ITEMS, body).items]
    if len(items) > MAX_ITEMS:
        raise TooLarge(f"items: at most {MAX_ITEMS}")
    if not items:
        raise BadRequest("items: at least one", field="/items")
    return items


def _is_batch(body: bytes) -> bool:
    try:
        return _PROBE.decode(body).items is not msgspec.UNSET
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def _misfit(error: msgspec.ValidationError) -> BadRequest:
    message = str(error)
    found = _PATH.search(message)
    pointer = None
    if found is not None:
        message = message[: found.start()]
        pointer = "".join(f"/{name or index}" for name, index in _STEP.findall(found[1])) or None
    return BadRequest(message[:_MAX_DETAIL], field=pointer)
