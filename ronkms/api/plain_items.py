"""Batches whose items are all plain, decoded in one go; None for any other, which is decoded item by item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ronkms.api.strict_json import refuse_stray_bits
from ronkms.errors import BadRequest
from ronkms.service.batches import MAX_ITEMS
from ronkms.service.crypto_input import MAX_CONTEXT, MAX_MESSAGE
from ronkms.service.plain_batches import NEWEST, PlainSign, PlainVerify


class _Signs(msgspec.Struct, forbid_unknown_fields=True):
    items: list[PlainSign]


class _Verifies(msgspec.Struct, forbid_unknown_fields=True):
    items: list[PlainVerify]


_SIGNS: Final = msgspec.json.Decoder(_Signs)
_VERIFIES: Final = msgspec.json.Decoder(_Verifies)
_ITEMS: Final = b'"items"'
_BEGINNING: Final = 32
"""Bytes in which a batch names its only member; a single request is told from it at no cost."""
_MALFORMED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def plain_signs(body: bytes) -> list[PlainSign] | None:
    """The items of a sign batch."""
    if _ITEMS not in body[:_BEGINNING]:
        return None
    try:
        items = _SIGNS.decode(body).items
    except _MALFORMED:
        return None
    members = 2 * len(items) + _contexts(items)
    return items if _acceptable(items, members, body) else None


def plain_verifies(body: bytes) -> list[PlainVerify] | None:
    """The items of a verify batch."""
    if _ITEMS not in body[:_BEGINNING]:
        return None
    try:
        items = _VERIFIES.decode(body).items
    except _MALFORMED:
        return None
    members = 3 * len(items) + _contexts(items) + sum(item.key_version != NEWEST for item in items)
    return items if _acceptable(items, members, body) else None


def _acceptable(items: Sequence[PlainSign | PlainVerify], members: int, body: bytes) -> bool:
    """False if something may have to be refused: by the path that says what."""
    if not 0 < len(items) <= MAX_ITEMS:
        return False
    # As many colons as members: none stands twice, in any object.
    if body.count(b":") != members + 1:
        return False
    try:
        refuse_stray_bits(body)
    except BadRequest:
        return False
    longest = max([len(item.message) for item in items])
    return longest <= MAX_MESSAGE and max([len(item.context) for item in items]) <= MAX_CONTEXT


def _contexts(items: Sequence[PlainSign | PlainVerify]) -> int:
    """How many items have one."""
    return len(items) - [item.context for item in items].count(b"")
