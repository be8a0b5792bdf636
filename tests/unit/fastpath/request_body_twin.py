"""The readable twin of ``ext/request_body.pxi``: the same rules with ``json`` and ``base64``."""

from __future__ import annotations

import base64
import json
import re

BYTES = {"message": 65536, "signature": 8192, "context": 255}
PLAIN_STRING = re.compile(rb'"[\x20\x21\x23-\x5b\x5d-\x7e]*"')
TOKENS = re.compile(rb'[ \n\r\t]*(?:("[^"]*")|([{}:,])|([1-9][0-9]{0,8}))')


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a member stands twice")
    return dict(pairs)


def parse(body: bytes) -> dict[str, object] | None:
    """The members, or None for anything but the known shape."""
    position = 0
    while (match := TOKENS.match(body, position)) is not None:
        if match[1] is not None and PLAIN_STRING.fullmatch(match[1]) is None:
            return None
        position = match.end()
    if body[position:].strip(b" \n\r\t"):
        return None
    try:
        members = json.loads(body, object_pairs_hook=_once)
    except ValueError:
        return None
    if not isinstance(members, dict) or not members:
        return None
    parsed: dict[str, object] = {}
    for name, value in members.items():
        if name == "key_version":
            if type(value) is not int or value > 999_999_999:
                return None
            parsed[name] = value
        elif type(value) is not str:
            return None
        elif name == "key_id":
            if re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,127}", value) is None:
                return None
            parsed[name] = value
        elif name in BYTES:
            try:
                decoded = base64.b64decode(value, validate=True)
            except ValueError:
                return None
            if base64.b64encode(decoded).decode() != value or len(decoded) > BYTES[name]:
                return None
            parsed[name] = decoded
        else:
            return None
    return parsed
