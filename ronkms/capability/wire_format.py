"""Reads the shape of a token out of its bytes, before its signatures are checked and its Datalog is run.

Two things depend on it, and the library offers neither:

* What a holder appends must not make a request expensive. The library's limit on time is looked at
  between iterations only; one check that joins four predicates over forty facts ran for 1.4 s under a
  limit of 1 ms. So work is bounded by counting: no rules, and few joins (``MAX_JOIN_WORK``).
* Biscuit prints strings unescaped: a check on the key named ``a") or key("b`` prints like two
  alternatives. Checks are compiled from their printed form (``checks.py``) only if every symbol is free of
  quotes, spaces and the punctuation of Datalog (``TokenShape.plain``).

This is a strict reader of the part of the Biscuit v3 format that is needed (eclipse-biscuit
``schema.proto``: Biscuit, SignedBlock, Block, CheckV2, RuleV2). What it does not expect is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Final, NamedTuple

from ronkms.capability.access import Access

MAX_TOKEN: Final = 8192
"""Characters of a token."""
MAX_BLOCKS: Final = 16
"""The authority block and up to 15 attenuations."""
MAX_JOIN_WORK: Final = 20_000
"""Sum over all queries of (facts in reach) to the power of (predicates in the query); about 6 ms."""

_REQUEST_FACTS: Final = len(Access._fields)
_SAFE_SYMBOL: Final = re.compile(r"[A-Za-z0-9._*:/@+=-]{0,256}")

_VARINT: Final = 0
_BYTES: Final = 2


class MalformedTokenError(Exception):
    """Not a capability of this service, or beyond the limits on its form. Never shown to a caller."""


class TokenShape(NamedTuple):
    """What the bytes of a token promise."""

    blocks: int
    plain_blocks: int
    """How many blocks, from the authority block on, have symbols of a safe alphabet alone, and checks alone
    after the first."""

    @property
    def plain(self) -> bool:
        """Whether all are."""
        return self.plain_blocks == self.blocks


class _Biscuit:
    ROOT_KEY_ID: Final = 1
    AUTHORITY: Final = 2
    BLOCKS: Final = 3
    PROOF: Final = 4


class _SignedBlock:
    BLOCK: Final = 1
    NEXT_KEY: Final = 2
    SIGNATURE: Final = 3
    VERSION: Final = 5


class _Block:
    SYMBOLS: Final = 1
    VERSION: Final = 3
    FACTS: Final = 4
    CHECKS: Final = 6


class _Check:
    QUERIES: Final = 1
    KIND: Final = 2


class _Rule:
    HEAD: Final = 1
    BODY: Final = 2
    EXPRESSIONS: Final = 3


class _BlockShape(NamedTuple):
    safe_symbols: bool
    facts: int
    joins: list[int]
    """Number of predicates of each query of each check."""


def token_shape(token: bytes) -> TokenShape:
    """``token`` is the raw serialization, without base64. Raises :class:`MalformedTokenError`.

    Refused are also: third-party blocks, rules, scopes and block contexts, which capabilities do not use.
    """
    authority: list[bytes] = []
    appended: list[bytes] = []
    for number, value in _fields(token):
        if number == _Biscuit.AUTHORITY:
            authority.append(_bytes(value))
        elif number == _Biscuit.BLOCKS:
            appended.append(_bytes(value))
        elif number not in (_Biscuit.ROOT_KEY_ID, _Biscuit.PROOF):
            raise MalformedTokenError("unknown field")
    if len(authority) != 1 or len(appended) >= MAX_BLOCKS:
        raise MalformedTokenError("not 1 to 16 blocks")
    shapes = [_block_shape(_payload(block)) for block in (*authority, *appended)]
    facts = _REQUEST_FACTS + sum(shape.facts for shape in shapes)
    if sum(facts**join for shape in shapes for join in shape.joins) > MAX_JOIN_WORK:
        raise MalformedTokenError("checks that are too expensive")
    plain = (shape.safe_symbols and (number == 0 or not shape.facts) for number, shape in enumerate(shapes))
    return TokenShape(len(shapes), sum(takewhile(bool, plain)))


def _payload(signed_block: bytes) -> bytes:
    payloads: list[bytes] = []
    for number, value in _fields(signed_block):
        if number == _SignedBlock.BLOCK:
            payloads.append(_bytes(value))
        elif number not in (_SignedBlock.NEXT_KEY, _SignedBlock.SIGNATURE, _SignedBlock.VERSION):
            raise MalformedTokenError("third-party signature or unknown field")
    if len(payloads) != 1:
        raise MalformedTokenError("not one payload in a block")
    return payloads[0]


def _block_shape(block: bytes) -> _BlockShape:
    safe, facts = True, 0
    joins: list[int] = []
    for number, value in _fields(block):
        if number == _Block.SYMBOLS:
            safe = safe and _SAFE_SYMBOL.fullmatch(_bytes(value).decode(errors="replace")) is not None
        elif number == _Block.FACTS:
            facts += 1
        elif number == _Block.CHECKS:
            joins.extend(_joins(_bytes(value)))
        elif number != _Block.VERSION:
            raise MalformedTokenError("a rule, a scope or an unknown field")
    return _BlockShape(safe, facts, joins)


def _joins(check: bytes) -> Iterator[int]:
    for number, value in _fields(check):
        if number == _Check.QUERIES:
            parts = [part for part, _ in _fields(_bytes(value))]
            if not set(parts) <= {_Rule.HEAD, _Rule.BODY, _Rule.EXPRESSIONS}:
                raise MalformedTokenError("a scope or an unknown field")
            yield parts.count(_Rule.BODY)
        elif number != _Check.KIND:
            raise MalformedTokenError("unknown field")


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise MalformedTokenError("a number where a message is expected")


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of one protobuf message; varints and length-delimited fields only."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        value, position = _varint(message, position)
        if kind == _VARINT:
            yield number, value
        elif kind == _BYTES:
            end = position + value
            if end > len(message):
                raise MalformedTokenError("cut off")
            yield number, message[position:end]
            position = end
        else:
            raise MalformedTokenError("unknown wire type")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 35, 7):
        if position >= len(message):
            raise MalformedTokenError("cut off")
        byte = message[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
    raise MalformedTokenError("number out of range")
