"""Compiles a closed set of checks to predicates that are evaluated on every request.

The set is what :mod:`ronkms.capability.attenuate` and :mod:`ronkms.capability.mint` write, in the form
that the library prints (docs/formats/capability.md has the grammar)::

    check if QUERY ( or QUERY )*;
    QUERY: time($v), $v < DATE   |   time($v), $v <= DATE
         | time($v), $v >= DATE  |   time($v), $v > DATE
         | delegations($v), $v <= NUMBER
         | NAME("text")          |   NAME($v), $v == "text"
         | NAME($v), {"text", ...}.contains($v)   (also ["text", ...])
         | NAME($v), $v.starts_with("text")
         | NAME($v), $v.starts_with("text"), $v.ends_with("text"), $v.length() >= LENGTH_OF_BOTH
    NAME:  operation | key | alg | digest | client_cert

Anything else gives None. To be used on blocks of the plain form only (``wire_format.plain_blocks``): then
no string holds a quote or a space, and splitting the printed form is exact.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal

from ronkms.capability.access import FACTS, Access

Predicate = Callable[[Access], bool]

TimeQuery = tuple[Literal["time"], int]
"""Deadline in Unix seconds, the first moment that is too late."""
MemberQuery = tuple[Literal["member"], int, frozenset[str]]
"""Number of the fact in ``access.FACTS``, and the texts of which it must be one."""
PrefixQuery = tuple[Literal["prefix"], int, str]
AffixQuery = tuple[Literal["affix"], int, str, str]
"""Number of the fact, how it must begin, and how it must end after that."""
SinceQuery = tuple[Literal["since"], int]
"""Unix seconds, the first moment that is not too early."""
DelegationsQuery = tuple[Literal["delegations"], int]
"""The most blocks that the token may have after the authority block."""
Query = TimeQuery | SinceQuery | DelegationsQuery | MemberQuery | PrefixQuery | AffixQuery
Alternatives = tuple[Query, ...]
"""One check: some query must hold."""

_CHECK: Final = "check if "
_TEXT: Final = r'"([A-Za-z0-9._*:/@+=-]*)"'
_TEXTS: Final = rf"{_TEXT}(?:, {_TEXT})*"
_NAME: Final = rf"(?P<name>{'|'.join(FACTS)})"
_BINDING: Final = rf"{_NAME}\(\$(?P<variable>[A-Za-z0-9_]+)\), "

_TIME: Final = re.compile(
    r"time\(\$(?P<variable>[A-Za-z0-9_]+)\), \$(?P=variable) (?P<relation>[<>]=?) "
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)"
)
_DELEGATIONS: Final = re.compile(
    r"delegations\(\$(?P<variable>[A-Za-z0-9_]+)\), \$(?P=variable) <= (?P<limit>[0-9]{1,9})"
)
_LITERAL: Final = re.compile(rf"{_NAME}\((?P<texts>{_TEXT})\)")
_EQUAL: Final = re.compile(rf"{_BINDING}\$(?P=variable) == (?P<texts>{_TEXT})")
_MEMBER: Final = re.compile(
    rf"{_BINDING}(?:\{{(?P<texts>{_TEXTS})\}}|\[(?P<list>{_TEXTS})\])\.contains\(\$(?P=variable)\)"
)
_PREFIX: Final = re.compile(rf"{_BINDING}\$(?P=variable)\.starts_with\((?P<texts>{_TEXT})\)")

_AFFIX: Final = re.compile(
    rf"{_BINDING}\$(?P=variable)\.starts_with\((?P<prefix>{_TEXT})\), "
    rf"\$(?P=variable)\.ends_with\((?P<suffix>{_TEXT})\), "
    rf"\$(?P=variable)\.length\(\) >= (?P<length>[0-9]{{1,9}})"
)


class CompiledChecks:
    """The checks of a token: a ``deadline`` (Unix seconds, first moment that is too late) that sums up
    those on time alone, and ``checks`` for the rest, all of which must hold: as data, for the native hot
    path, and as ``predicates``. ``positions``: where each of ``checks`` stood in what was compiled."""

    __slots__ = ("checks", "deadline", "positions", "predicates")

    def __init__(
        self, deadline: int | None, checks: tuple[Alternatives, ...], positions: tuple[int, ...]
    ) -> None:
        self.deadline = deadline
        self.checks = checks
        self.positions = positions
        self.predicates = tuple(_predicate_of(alternatives) for alternatives in checks)


def compile_checks(printed: list[str]) -> CompiledChecks | None:
    """Compiles printed checks, each without the ending ``;``. None if one is beyond the closed set."""
    deadlines: list[int] = []
    checks: list[Alternatives] = []
    positions: list[int] = []
    for position, check in enumerate(printed):
        if not check.startswith(_CHECK):
            return None
        alternatives = [_query(query) for query in check.removeprefix(_CHECK).split(" or ")]
        known = tuple(query for query in alternatives if query is not None)
        if len(known) != len(alternatives):
            return None
        if len(known) == 1 and known[0][0] == "time":
            deadlines.append(known[0][1])
        else:
            checks.append(known)
            positions.append(position)
    return CompiledChecks(min(deadlines, default=None), tuple(checks), tuple(positions))


def names_fact(alternatives: Alternatives, fact: int) -> bool:
    """Whether a check looks at that fact (its number in ``access.FACTS``)."""
    return any(fact_of(query) == FACTS[fact] for query in alternatives)


def binds(printed: str, fact: int) -> bool:
    """Whether a printed check can hold only if that fact is one of the texts which it names."""
    compiled = compile_checks([printed])
    return compiled is not None and any(
        all(query[0] == "member" and query[1] == fact for query in alternatives)
        for alternatives in compiled.checks
    )


def fact_of(query: Query) -> str:
    """Name of the fact that a query looks at."""
    match query:
        case ("time", _) | ("since", _):
            return "time"
        case ("delegations", _):
            return "delegations"
        case ("member" | "prefix" | "affix", fact, *_):
            return FACTS[fact]


def _time_query(query: str) -> TimeQuery | SinceQuery | None:
    found = _TIME.fullmatch(query)
    if found is None:
        return None
    try:
        date = datetime.strptime(found["date"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    second, relation = int(date.timestamp()), found["relation"]
    if relation.startswith("<"):
        return ("time", second + (relation == "<="))
    return ("since", second + (relation == ">"))


def _query(query: str) -> Query | None:
    timed = _time_query(query)
    if timed is not None:
        return timed
    if found := _DELEGATIONS.fullmatch(query):
        return ("delegations", int(found["limit"]))
    if found := _LITERAL.fullmatch(query) or _EQUAL.fullmatch(query) or _MEMBER.fullmatch(query):
        groups = found.groupdict()
        texts = groups["texts"] or groups["list"]
        return ("member", FACTS.index(found["name"]), frozenset(re.findall(_TEXT, texts)))
    if found := _PREFIX.fullmatch(query):
        return ("prefix", FACTS.index(found["name"]), found["texts"].strip('"'))
    if found := _AFFIX.fullmatch(query):
        prefix, suffix = found["prefix"].strip('"'), found["suffix"].strip('"')
        if int(found["length"]) == len(prefix) + len(suffix):
            return ("affix", FACTS.index(found["name"]), prefix, suffix)
    return None


def _predicate_of(alternatives: Alternatives) -> Predicate:
    predicates = [_predicate(query) for query in alternatives]
    if len(predicates) == 1:
        return predicates[0]
    return lambda access: any(holds(access) for holds in predicates)


def _predicate(query: Query) -> Predicate:
    match query:
        case ("time", deadline):
            return lambda access: access.time < deadline
        case ("since", start):
            return lambda access: access.time >= start
        case ("delegations", limit):
            return lambda access: access.delegations <= limit
        case ("member", position, texts):
            return lambda access: access[position] in texts
        case ("prefix", position, prefix):
            return _affix(position, prefix, "")
        case ("affix", position, prefix, suffix):
            return _affix(position, prefix, suffix)


def _affix(position: int, prefix: str, suffix: str) -> Predicate:
    least = len(prefix) + len(suffix)

    def holds(access: Access) -> bool:
        value = access[position]
        return (
            isinstance(value, str)
            and value.startswith(prefix)
            and value.endswith(suffix)
            and len(value) >= least
        )

    return holds
