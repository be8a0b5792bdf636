"""What the decision point is asked (docs/formats/external-policy.md). No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import msgspec

from ronkms.policy.external.operation_class import OperationClass

VERSION: Final = 1
PROBE: Final = "probe"
"""``operation`` and ``action`` of the question that asks for nothing but an answer."""
ABSENT: Final = "absent"
"""``state`` of a key that does not exist."""
NEW: Final = "new"
"""``state`` of a key that the request wants to make."""


class KeyFacts(msgspec.Struct, frozen=True, gc=False):
    """The stored key. ``state``: as in the API, or ABSENT, or NEW."""

    id: str
    usage: str
    state: str
    labels: Mapping[str, str]


class Question(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything that a decision may depend on: the same question has the same answer."""

    tenant: str
    operation: str
    action: str
    operation_class: OperationClass = msgspec.field(name="class")
    token_id: str
    """Never the token."""
    client_cert_sha256: str | None
    source: str | None
    items: int
    alg: str
    key: KeyFacts | None

    def name(self) -> bytes:
        """SHA-256 (32 bytes): equal for equal questions."""
        return sha256(_encode(self)).digest()


class _Input(Question, frozen=True, kw_only=True, gc=False):
    v: int
    corr_id: str
    time: int


class _Envelope(msgspec.Struct, frozen=True, gc=False):
    input: _Input


# Sorted, so that labels which were read in another order do not make another question.
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def encode_question(question: Question, corr_id: str, time: int) -> bytes:
    """The body of the POST. ``time``: Unix seconds."""
    facts = {name: getattr(question, name) for name in question.__struct_fields__}
    return _encode(_Envelope(_Input(v=VERSION, corr_id=corr_id, time=time, **facts)))


def probe() -> Question:
    """The question of the admin process."""
    return Question(
        tenant="",
        operation=PROBE,
        action=PROBE,
        operation_class=OperationClass.ADMIN,
        token_id="",
        client_cert_sha256=None,
        source=None,
        items=1,
        alg="",
        key=None,
    )
