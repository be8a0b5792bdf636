"""Compiles a closed set of checks to predicates that are evaluated on every request.

The set is what :mod:`ronkms.capability.attenuate` and :mod:`ronkms.capability.mint` write, in the form
that the library prints (docs/formats/capability.md has the grammar)::

    check if QUERY ( or QUERY )*;
    QUERY: time($v), $v < DATE   |   time($v), $v <= DATE
         | NAME("text")          |   NAME($v), $v == "text"
         | NAME($v), {"text", ...}.contains($v)   (also ["text", ...])
         | NAME($v), $v.starts_with("text")
    NAME:  operation | key | alg | digest

Anything else gives None. To be used on blocks of the plain form only (``wire_format.plain_blocks``): then
no string holds a quote or a space, and splitting the printed form is exact.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from ronkms.capability.access import FACTS, Access

Predicate = Callable[[Access], bool]

_CHECK: Final = "check if "
_TEXT: Final = r'"([A-Za-z0-9._*:/@+=-]*)"'
_TEXTS: Final = rf"{_TEXT}(?:, {_TEXT})*"
_NAME: Final = r"(?P<name>operation|key|alg|digest)"
_BINDING: Final = rf"{_NAME}\(\$(?P<variable>[A-Za-z0-9_]+)\), "

_TIME: Final = re.compile(
    r"time\(\$(?P<variable>[A-Za-z0-9_]+)\), \$(?P=variable) (?P<relation><=?) "
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)"
)
_LITERAL: Final = re.compile(rf"{_NAME}\((?P<texts>{_TEXT})\)")
_EQUAL: Final = re.compile(rf"{_BINDING}\$(?P=variable) == (?P<texts>{_TEXT})")
_MEMBER: Final = re.compile(
    rf"{_BINDING}(?:\{{(?P<texts>{_TEXTS})\}}|\[(?P<list>{_TEXTS})\])\.contains\(\$(?P=variable)\)"
)
_PREFIX: Final = re.compile(rf"{_BINDING}\$(?P=variable)\.starts_with\((?P<texts>{_TEXT})\)")


class CompiledChecks:
    """The checks of a token: a ``deadline`` (Unix seconds, first moment that is too late) that sums up
    those on time alone, and predicates for the rest, all of which must hold."""

    __slots__ = ("deadline", "predicates")

    def __init__(self, deadline: int | None, predicates: tuple[Predicate, ...]) -> None:
        self.deadline = deadline
        self.predicates = predicates


def compile_checks(printed: list[str]) -> CompiledChecks | None:
    """Compiles printed checks, each without the ending ``;``. None if one is beyond the closed set."""
    deadlines: list[int] = []
    predicates: list[Predicate] = []
    for check in printed:
        if not check.startswith(_CHECK):
            return None
        queries = check.removeprefix(_CHECK).split(" or ")
        if len(queries) == 1 and (deadline := _deadline(queries[0])) is not None:
            deadlines.append(deadline)
            continue
        alternatives = [_query(query) for query in queries]
        known = [alternative for alternative in alternatives if alternative is not None]
        if len(known) != len(alternatives):
            return None
        predicates.append(known[0] if len(known) == 1 else _any_of(known))
    return CompiledChecks(min(deadlines, default=None), tuple(predicates))


def _deadline(query: str) -> int | None:
    found = _TIME.fullmatch(query)
    if found is None:
        return None
    try:
        date = datetime.strptime(found["date"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(date.timestamp()) + (1 if found["relation"] == "<=" else 0)


def _query(query: str) -> Predicate | None:
    deadline = _deadline(query)
    if deadline is not None:
        return lambda access: access.time < deadline
    if found := _LITERAL.fullmatch(query) or _EQUAL.fullmatch(query) or _MEMBER.fullmatch(query):
        texts = found["texts"] or found["list"]
        return _member(FACTS.index(found["name"]), frozenset(re.findall(_TEXT, texts)))
    if found := _PREFIX.fullmatch(query):
        return _prefix(FACTS.index(found["name"]), found["texts"].strip('"'))
    return None


def _member(position: int, texts: frozenset[str]) -> Predicate:
    return lambda access: access[position] in texts


def _prefix(position: int, prefix: str) -> Predicate:
    def holds(access: Access) -> bool:
        value = access[position]
        return isinstance(value, str) and value.startswith(prefix)

    return holds


def _any_of(alternatives: list[Predicate]) -> Predicate:
    return lambda access: any(alternative(access) for alternative in alternatives)
