"""The tables of ``audit_sinks``: read, and held against each other and the rest of the settings."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ronkms.config.field import FIELDS, SINK_FIELDS
from ronkms.config.settings import Settings
from ronkms.config.value import convert, unknown
from ronkms.domain.audit_sink import MAX_SINKS, SYSLOG, AuditSink, Kind
from ronkms.errors import ConfigError

AUDIT_SINKS: Final = "audit_sinks"

_STREAMS: Final[frozenset[Kind]] = frozenset({"tcp", "tls"})
_HTTP: Final[frozenset[Kind]] = frozenset({"http"})
_KINDS: Final[dict[str, frozenset[Kind]]] = {
    "timeout_ms": SYSLOG | _HTTP,
    "batch_bytes": _HTTP,
    "message_bytes": SYSLOG,
    "facility": SYSLOG,
    "resend": _STREAMS,
    "token_file": _HTTP,
}
"""Members that only some kinds of target know."""
_TLS_MEMBERS: Final = ("ca_file", "cert_file", "key_file")


def parse_sink_variable(text: str, where: str) -> tuple[AuditSink, ...]:
    """The sinks of the environment variable ``where``: a TOML value. Raises :class:`ConfigError`."""
    try:
        table = tomllib.loads(f"{AUDIT_SINKS} = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        table = {}
    if len(table) != 1:
        raise _wrong(where)
    return parse_sinks(table[AUDIT_SINKS], where)


def parse_sinks(value: object, where: str) -> tuple[AuditSink, ...]:
    """The sinks of a TOML value, each checked by itself. Raises :class:`ConfigError`."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise _wrong(where)
    if len(value) > MAX_SINKS:
        raise ConfigError(f"{where}: at most {MAX_SINKS} sinks")
    return tuple(_parse_sink(table, f"{where}[{position}]") for position, table in enumerate(value))


def _wrong(where: str) -> ConfigError:
    return ConfigError(f"{where} must be {FIELDS[AUDIT_SINKS].allowed}")


def _parse_sink(table: dict[str, object], where: str) -> AuditSink:
    for key in table:
        if key not in SINK_FIELDS:
            raise ConfigError(f"{where}: {unknown(key, SINK_FIELDS)}")
    for key in ("name", "target"):
        if key not in table:
            raise ConfigError(f"{where}: {key} is missing: {SINK_FIELDS[key].allowed}")
    values = {
        key: convert(SINK_FIELDS[key], value, key=f"{where}.{key}", strict=True)
        for key, value in table.items()
    }
    return AuditSink(**values)  # type: ignore[arg-type]


def check_sinks(settings: Settings) -> None:
    """Raises :class:`ConfigError`: sinks that contradict each other, themselves or other settings."""
    sinks = settings.audit_sinks
    _check_distinct("name", [sink.name for sink in sinks])
    _check_distinct("target", [sink.target for sink in sinks])
    for sink in sinks:
        _check_kind(sink)
        _check_policy(sink)
        _check_tls(sink)
        _check_place(sink, settings.data_path)


def _check_distinct(member: str, values: Iterable[str]) -> None:
    listed = list(values)
    if len(set(listed)) < len(listed):
        raise ConfigError(f"{AUDIT_SINKS}: the same {member} stands twice; each sink needs its own")


def _check_kind(sink: AuditSink) -> None:
    for member, kinds in _KINDS.items():
        if sink.place.kind not in kinds and getattr(sink, member) != SINK_FIELDS[member].default:
            known = ", ".join(sorted(kinds))
            raise _contradiction(sink, member, f"{sink.place.kind} does not know it; it is for {known}")


def _check_policy(sink: AuditSink) -> None:
    if sink.required and sink.place.kind == "udp":
        raise _contradiction(sink, "policy", "required needs a target that acknowledges; udp does not")
    if sink.required and sink.max_backlog:
        raise _contradiction(sink, "max_backlog", "a required sink skips nothing; leave it out")
    if not sink.required and sink.max_lag != SINK_FIELDS["max_lag"].default:
        raise _contradiction(sink, "max_lag", "it is for policy required; best_effort has max_backlog")


def _check_tls(sink: AuditSink) -> None:
    for member in _TLS_MEMBERS:
        if getattr(sink, member) and not sink.place.secure:
            raise _contradiction(sink, member, "needs a tls: or https: target")
    if bool(sink.cert_file) != bool(sink.key_file):
        raise _contradiction(sink, "cert_file, key_file", "both or none must be set")
    if sink.token_file and not sink.place.secure and not sink.place.loopback:
        raise _contradiction(
            sink, "token_file", "needs https, or a loopback host: the token would be readable"
        )


def _check_place(sink: AuditSink, data_directory: Path) -> None:
    if sink.place.kind == "file" and Path(sink.place.path).is_relative_to(data_directory):
        raise _contradiction(sink, "target", "must be outside the data directory")


def _contradiction(sink: AuditSink, member: str, message: str) -> ConfigError:
    return ConfigError(f"{AUDIT_SINKS}: {sink.name}: {member}: {message}")
