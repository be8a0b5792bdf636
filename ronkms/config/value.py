"""One value of a setting: converted, checked by itself, and refused without repeating it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches

import msgspec

from ronkms.config.address import parse_address
from ronkms.config.field import Field
from ronkms.domain.audit_sink import parse_target
from ronkms.errors import ConfigError


def convert(field: Field, value: object, *, key: str, strict: bool) -> object:
    """``value`` as the type of ``field``. Raises :class:`ConfigError`: ``key`` must be what is allowed."""
    try:
        converted: object = msgspec.convert(value, field.annotation, strict=strict)
        acceptable = _acceptable(field, converted)
    except (msgspec.ValidationError, ValueError):
        acceptable = False
    if not acceptable:
        raise ConfigError(f"{key} must be {field.allowed}")
    return converted


def _acceptable(field: Field, value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if not isinstance(value, str):
        return True
    if field.form == "address" or (field.form == "optional address" and value):
        parse_address(value)
    if field.form == "sink target":
        parse_target(value)
    return "\0" not in value and (bool(value) or not field.required)


def unknown(key: str, known: Mapping[str, Field]) -> str:
    """What to say of a setting that there is not."""
    near = get_close_matches(key[:80], known, n=1)
    advice = f"did you mean {near[0]}?" if near else "docs/CONFIG.md lists all settings"
    return f"unknown setting {one_line(key)[:80]}: {advice}"


def one_line(text: str) -> str:
    """``text`` with a space for each character that does not print."""
    return "".join(char if char.isprintable() else " " for char in text)
