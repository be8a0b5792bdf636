"""Types of parameters that several commands take, as functions for click's ``type``."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from ronkms.audit.note import NoteKey
from ronkms.domain.key import check_key_id
from ronkms.domain.operation import Operation
from ronkms.errors import BadRequest

_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd]?)")
_UNIT: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_MAX_INPUT: Final = 1 << 16

NONE: Final = "none"
DIRECTORY: Final = click.Path(path_type=Path, exists=True, file_okay=False)
"""One that is there."""
OPERATION: Final = click.Choice([operation.value for operation in Operation])


def duration(value: str | int) -> int:
    """``90``, ``90s``, ``30m``, ``12h`` or ``7d``, as whole seconds. Raises click.BadParameter."""
    found = _DURATION.fullmatch(str(value))
    if found is None:
        raise click.BadParameter("must be a number with s, m, h or d, as in 90s, 30m, 12h or 7d")
    return int(found[1]) * _UNIT[found[2]]


def instant(value: str) -> datetime:
    """An RFC 3339 time with its offset, as in 2026-11-24T20:26:58Z. Raises click.BadParameter."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise click.BadParameter("must be a time with an offset, as in 2026-11-24T20:26:58Z")
    return found


def or_none(convert: Callable[[str], int]) -> Callable[[str], int | str]:
    """A parameter that is also taken away by the word ``none``, which is returned as it is."""

    def value_or_none(value: str) -> int | str:
        return NONE if value == NONE else convert(value)

    value_or_none.__name__ = f"{convert.__name__}|{NONE}"
    return value_or_none


def names_or_none(value: str) -> list[str] | str:
    """Names with commas between, or the word ``none``, which is returned as it is."""
    return NONE if value == NONE else value.split(",")


def secretive(value: str) -> str:
    """A text, ``-`` for standard input, or ``@FILE``: keeps tokens out of the list of processes."""
    if value == "-":
        return sys.stdin.read(_MAX_INPUT).strip()
    if value.startswith("@"):
        return read_text(Path(value[1:]))
    return value.strip()


def key_id(value: str) -> str:
    """A well-formed key id: it becomes part of a path. Raises click.BadParameter."""
    try:
        return check_key_id(value)
    except BadRequest as error:
        raise click.BadParameter(str(error)) from None


def read_text(path: Path) -> str:
    """The stripped content of a small text file. Raises click.BadParameter."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_MAX_INPUT).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"cannot read {path}: {error}") from None


def verifier_key(value: str) -> NoteKey:
    """A public key as ``ronctl audit keys`` prints it. Raises click.BadParameter."""
    try:
        return NoteKey.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
