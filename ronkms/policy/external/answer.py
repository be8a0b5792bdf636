"""What a decision point answers (docs/formats/external-policy.md). No I/O.

Only an explicit ``true`` allows. A well-formed answer without a boolean is a denial, as an undefined document
is in OPA; what is not well-formed is no decision at all.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

MAX_ANSWER: Final = 1 << 16
"""Bytes of the body."""
MAX_REASON: Final = 160
MAX_DECISION_ID: Final = 64
UNDEFINED: Final = "undefined: the answer has no boolean decision; does policy_url name a rule?"


class MalformedAnswerError(ValueError):
    """Not an answer of the data API; the message says why, without the body."""


class Answer(NamedTuple):
    """``reason`` and ``decision_id`` are printable and bounded; empty if there are none."""

    allow: bool
    reason: str
    decision_id: str


def parse_answer(body: bytes) -> Answer:
    """Raises :class:`MalformedAnswerError`."""
    if len(body) > MAX_ANSWER:
        raise MalformedAnswerError(f"over {MAX_ANSWER} bytes")
    try:
        document = json.loads(
            body.decode("utf-8"), object_pairs_hook=_without_twins, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        raise MalformedAnswerError("not JSON, or a member stands twice") from None
    if not isinstance(document, dict):
        raise MalformedAnswerError("not a JSON object")
    decision_id = _bounded(document.get("decision_id"), MAX_DECISION_ID)
    result = document.get("result")
    allow, reason = result, ""
    if isinstance(result, dict):
        allow, reason = result.get("allow"), _bounded(result.get("reason"), MAX_REASON)
    if allow is True:
        return Answer(True, reason, decision_id)
    return Answer(False, reason if allow is False else UNDEFINED, decision_id)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _bounded(text: object, limit: int) -> str:
    if not isinstance(text, str):
        return ""
    return "".join(char if char.isprintable() else " " for char in text[:limit])
