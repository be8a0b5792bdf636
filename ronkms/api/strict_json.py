"""What the JSON decoder lets pass and the API does not: repeated members, base64 with stray bits.

Both checks are made for the common case, a flat object of strings, where they cost a fraction of a
microsecond; anything else is looked at in full.
"""

from __future__ import annotations

import json
from typing import Final

import msgspec
from msgspec import UNSET

from ronkms.errors import BadRequest

_LAST_BEFORE_ONE: Final = frozenset(b"AEIMQUYcgkosw048")
"""Sextets whose two low bits are zero: what may stand before a single ``=`` (RFC 4648 section 3.5)."""
_LAST_BEFORE_TWO: Final = frozenset(b"AQgw")


def refuse_repeated_members(body: bytes, value: object) -> None:
    """``value`` is what ``body`` decoded to. Raises BadRequest if a member stands twice in an object.

    Every member has a colon, so an object with as many colons as distinct members repeats none.
    """
    if isinstance(value, msgspec.Struct):
        members = msgspec.structs.astuple(value)
        if body.count(b":") == sum(member is not UNSET for member in members):
            return
    try:
        json.loads(body, object_pairs_hook=_unique)
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    except ValueError:
        raise BadRequest("the body holds a number of too many digits") from None


def refuse_stray_bits(body: bytes) -> None:
    """Raises BadRequest if a string of ``body`` ends as base64 of another, canonical text would not.

    For bodies whose strings with ``=`` are all base64."""
    at = body.find(b"=")
    while at > 0:
        end = at + 1 if body[at + 1 : at + 2] == b"=" else at
        allowed = _LAST_BEFORE_ONE if end == at else _LAST_BEFORE_TWO
        if body[end + 1 : end + 2] == b'"' and body[at - 1] not in allowed:
            raise BadRequest(
                "a base64 value has bits beyond its bytes: it is not canonical (RFC 4648 section 3.5)"
            )
        at = body.find(b"=", end + 1)


def _unique(pairs: list[tuple[str, object]]) -> None:
    names = {name for name, _ in pairs}
    if len(names) != len(pairs):
        raise BadRequest("an object has the same member twice")
