"""What the JSON decoder lets pass and the API does not: repeated members, base64 with stray bits.

Both checks are made for the common case, a flat object of strings, where they cost a fraction of a
microsecond; anything else is looked at in full.
"""

from __future__ import annotations

import json
import re
from functools import cache
from operator import ne
from typing import Final

import msgspec
from msgspec import NODEFAULT

from ronkms.errors import BadRequest

_STRAY: Final = re.compile(rb'="(?<![AEIMQUYcgkosw048]=")(?<![AQgw]==")')
"""The end of a string whose last sextet before ``=`` or ``==`` has a bit set that no byte uses (RFC 4648
section 3.5). It begins with two fixed characters, which the search looks for fast."""


def refuse_repeated_members(body: bytes, value: object) -> None:
    """``value`` is what ``body`` decoded to. Raises BadRequest if a member stands twice in an object.

    Every member has a colon, so an object with as many colons as distinct members repeats none. A member
    that has its default counts as left out, which can only make the object be looked at in full.
    """
    if isinstance(value, msgspec.Struct):
        members = msgspec.structs.astuple(value)
        if body.count(b":") == sum(map(ne, members, _defaults(type(value)))):
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
    if _STRAY.search(body) is not None:
        raise BadRequest(
            "a base64 value has bits beyond its bytes: it is not canonical (RFC 4648 section 3.5)"
        )


@cache
def _defaults(kind: type[msgspec.Struct]) -> tuple[object, ...]:
    """What each member is if it is left out; for one that may not be, something that nothing equals."""
    return tuple(
        field.default
        if field.default is not NODEFAULT
        else field.default_factory()
        if field.default_factory is not NODEFAULT
        else object()
        for field in msgspec.structs.fields(kind)
    )


def _unique(pairs: list[tuple[str, object]]) -> None:
    names = {name for name, _ in pairs}
    if len(names) != len(pairs):
        raise BadRequest("an object has the same member twice")
