"""What is known about each setting: derived from the annotations of :class:`Settings`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast, get_args, get_type_hints

import msgspec
from msgspec import inspect as msgspec_inspect

from ronkms.config.settings import Settings
from ronkms.domain.audit_sink import AuditSink

ENV_PREFIX: Final = "KMS_"

_FORMS: Final = {
    "address": "IP:port, like 127.0.0.1:9446 or [::1]:9446",
    "optional address": "IP:port, like 127.0.0.1:9445, or empty",
    "path": "a path",
    "url": "http://host:port or https://host:port, or empty",
    "document url": "http://host:port/path or https://host:port/path, or empty",
    "verifier key": "NAME+ID+KEY, or empty",
    "sinks": "a list of tables, see Audit sinks",
    "sink name": "1 to 32 of a-z, 0-9, - and _, the first a letter or digit",
    "sink target": "file:/PATH, unix:/PATH, udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT,"
    " http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH",
    "required path": "a path, not empty",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One setting."""

    name: str
    annotation: object
    default: object
    allowed: str
    """What values it takes, in words."""
    description: str
    group: str
    form: str
    """A key of ``_FORMS``, or empty."""
    required: bool
    """It must not be empty."""
    listed: bool
    """A list: an array in TOML, with commas in its variable."""

    @property
    def env(self) -> str:
        """Its environment variable."""
        return ENV_PREFIX + self.name.upper()


def _allowed(kind: msgspec_inspect.Type, form: str) -> str:
    match kind:
        case msgspec_inspect.IntType(ge=low, le=high):
            return f"a whole number from {low}" + (f" to {high}" if high is not None else " on")
        case msgspec_inspect.FloatType(ge=low, le=high):
            return f"a number from {low:g} to {high:g}"
        case msgspec_inspect.BoolType():
            return "true or false"
        case msgspec_inspect.LiteralType(values=values):
            return "one of " + ", ".join(str(value) for value in values)
        case msgspec_inspect.VarTupleType(item_type=msgspec_inspect.LiteralType(values=values)):
            return f"a list of {', '.join(str(value) for value in values)}, which may be empty"
        case _:
            return _FORMS[form]


def _fields(struct: type[msgspec.Struct]) -> dict[str, Field]:
    # LiteralType sorts its values; the annotation keeps the order in which they are written.
    hints = get_type_hints(struct, include_extras=True)
    described = cast(msgspec_inspect.StructType, msgspec_inspect.type_info(struct))
    found: dict[str, Field] = {}
    group = ""
    for field in described.fields:
        kind = field.type
        extra: dict[str, object] = {}
        description = ""
        metas: tuple[msgspec.Meta, ...] = get_args(hints[field.name])[1:]
        for meta in metas:
            extra = meta.extra or {}
            description = meta.description or ""
        if isinstance(kind, msgspec_inspect.Metadata):
            kind = kind.type
        written = get_args(hints[field.name])[0] if metas else None
        if isinstance(kind, msgspec_inspect.LiteralType):
            kind = msgspec_inspect.LiteralType(get_args(written))
        listed = isinstance(kind, msgspec_inspect.VarTupleType) and isinstance(
            kind.item_type, msgspec_inspect.LiteralType
        )
        if listed:
            kind = msgspec_inspect.VarTupleType(msgspec_inspect.LiteralType(get_args(get_args(written)[0])))
        group = str(extra.get("group", group))
        form = str(extra.get("form", ""))
        found[field.name] = Field(
            name=field.name,
            annotation=hints[field.name],
            default=field.default,
            allowed=_allowed(kind, f"required {form}" if extra.get("required") and form == "path" else form),
            description=description,
            group=group,
            form=form,
            required=bool(extra.get("required", False)),
            listed=listed,
        )
    return found


FIELDS: Final = _fields(Settings)
SINK_FIELDS: Final = _fields(AuditSink)
"""Of one table of ``audit_sinks``."""
