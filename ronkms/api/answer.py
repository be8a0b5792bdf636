"""What a handler gives back: a body that may leave as it is."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

JSON: Final = "application/json"
PEM: Final = "application/x-pem-file"

_encode = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """The status is the route's."""

    body: bytes
    content_type: str = JSON


def json_answer(value: object) -> Answer:
    """Bytes in ``value`` become base64."""
    return Answer(_encode(value))
