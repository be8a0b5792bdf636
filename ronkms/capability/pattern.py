"""Key patterns of rights: a literal key id, or one with ``*`` for any run of characters (also none).

``*`` alone grants all keys and the operations on no stored key. Matching takes time linear in the
pattern's pieces times the key id; there is no regular expression and no backtracking.
"""

from __future__ import annotations

import re
from typing import Final

from ronkms.errors import BadRequest

ANY: Final = "*"
"""The pattern of all keys, and the ``key_id`` of an operation on no stored key."""

_PATTERN: Final = re.compile(r"[a-z0-9*][a-z0-9._*-]{0,127}")


def check_pattern(pattern: str) -> str:
    """``pattern`` if it is well-formed. Raises :class:`BadRequest`."""
    if _PATTERN.fullmatch(pattern) is None:
        raise BadRequest(
            "a key pattern is a key id in which * stands for any characters: [a-z0-9*][a-z0-9._*-]{0,127}"
        )
    return pattern


def matches(pattern: str, key_id: str) -> bool:
    """True if ``pattern`` covers ``key_id``. ``key_id`` ``*`` is covered by the pattern ``*`` alone."""
    if key_id == ANY or ANY not in pattern:
        return pattern == key_id
    first, *middle, last = pattern.split(ANY)
    if len(key_id) < len(first) + len(last) or not key_id.startswith(first) or not key_id.endswith(last):
        return False
    position, end = len(first), len(key_id) - len(last)
    for piece in middle:
        found = key_id.find(piece, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return True
