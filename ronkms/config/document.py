"""``docs/CONFIG.md``, made from the settings: ``python -m ronkms.config.document > docs/CONFIG.md``."""

from __future__ import annotations

import sys

import msgspec

from ronkms.config.field import FIELDS, SINK_FIELDS
from ronkms.config.render import toml_value

_HEAD = """# Configuration

Made from `ronkms/config/settings.py` by `python -m ronkms.config.document`; a test keeps them equal.

A setting `name` is the key `name` of the TOML file and the environment variable `KMS_NAME`. The variable
wins over the file, the file over the default. `ron-kms --config FILE` names the file, else `RON_CONFIG`
does, else there is none. `ron-kms --dev` sets `seal = "dev"`, and `data_dir = "./.ronkms"` unless it is
given.

An unknown key, a bad value or a contradiction stops the start with one line that names the key and says
what is allowed, and exit status 2. `ronctl config check FILE` does the same without starting;
`ronctl config get` prints what a running server uses. Secrets never stand in the file or the environment:
settings name files that hold them, or systemd credentials.
"""

_SINKS_HEAD = """## Audit sinks

The members of a table of `audit_sinks`; `name` and `target` must be given. What they do:
[formats/audit-sinks.md](formats/audit-sinks.md).

| key | default | allowed | meaning |
| --- | --- | --- | --- |"""

_TABLE_HEAD = ("| key | variable | default | allowed | meaning |", "| --- | --- | --- | --- | --- |")


def render_document() -> str:
    """The page, Markdown."""
    lines = [_HEAD]
    group = ""
    for field in FIELDS.values():
        if field.group != group:
            group = field.group
            lines += [f"## {group}\n", *_TABLE_HEAD]
        default = f"`{toml_value(field.default)}`"
        cells = (f"`{field.name}`", f"`{field.env}`", default, field.allowed, field.description)
        lines.append("| " + " | ".join(cells) + " |")
        if field is _last_of(group):
            lines.append("")
    lines += [_SINKS_HEAD]
    for field in SINK_FIELDS.values():
        default = "" if field.default is msgspec.NODEFAULT else f"`{toml_value(field.default)}`"
        lines.append(f"| `{field.name}` | {default} | {field.allowed} | {field.description} |")
    return "\n".join(lines) + "\n"


def _last_of(group: str) -> object:
    return [field for field in FIELDS.values() if field.group == group][-1]


if __name__ == "__main__":
    sys.stdout.write(render_document())
