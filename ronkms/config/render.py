"""Settings as TOML text, for ``ronctl config get``; reading it back gives the same settings."""

from __future__ import annotations

import json

from ronkms.config.field import FIELDS, SINK_FIELDS
from ronkms.config.settings import Settings
from ronkms.domain.audit_sink import AuditSink


def render_toml(settings: Settings) -> str:
    """All settings, one a line, in the order and groups of ``docs/CONFIG.md``. Holds no secret."""
    lines: list[str] = []
    group = ""
    for field in FIELDS.values():
        if field.group != group:
            group = field.group
            lines += [*([""] if lines else []), f"# {group}"]
        lines.append(f"{field.name} = {toml_value(getattr(settings, field.name))}")
    return "\n".join(lines) + "\n"


def toml_value(value: object) -> str:
    """A TOML literal of a bool, int, float, str, sink (what is not its default) or a tuple of them."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, AuditSink):
        return _sink(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def _sink(sink: AuditSink) -> str:
    given = {name: getattr(sink, name) for name in SINK_FIELDS}
    pairs = (
        f"{name} = {toml_value(value)}" for name, value in given.items() if value != SINK_FIELDS[name].default
    )
    return f"{{{', '.join(pairs)}}}"
