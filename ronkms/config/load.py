"""Reads settings: defaults, then the TOML file, then ``KMS_*``; the later one wins.

Every fault is a :class:`ConfigError` of one line that names the key and says what is allowed. Values are
never repeated in it: a secret put into the wrong variable must not reach a log.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ronkms.config.audit_sinks import AUDIT_SINKS, parse_sink_variable, parse_sinks
from ronkms.config.contradiction import check_contradictions
from ronkms.config.field import ENV_PREFIX, FIELDS
from ronkms.config.settings import Settings
from ronkms.config.value import convert, one_line, unknown
from ronkms.errors import ConfigError

CONFIG_VARIABLE: Final = "RON_CONFIG"
CREDENTIALS_VARIABLE: Final = "CREDENTIALS_DIRECTORY"
FILE_LIMIT: Final = 1 << 20
DEV_DATA_DIR: Final = "./.ronkms"


def load_settings(environ: Mapping[str, str], *, path: str | None = None, dev: bool = False) -> Settings:
    """The checked settings. ``path`` is the file, else ``RON_CONFIG`` names it, else there is none.

    ``dev`` chooses the throw-away seal and ``./.ronkms`` unless the data directory is given.
    Raises :class:`ConfigError`.
    """
    values: dict[str, Any] = {}
    path = path or environ.get(CONFIG_VARIABLE) or None
    if path is not None:
        values.update(parse_toml(_read(path), origin=path))
    values.update(parse_environment(environ))
    if dev:
        if values.setdefault("seal", "dev") != "dev":
            raise ConfigError("seal: --dev serves with seal dev; leave --dev out or seal unset")
        values.setdefault("data_dir", DEV_DATA_DIR)
    _add_credentials(values, environ)
    settings = Settings(**values)
    check_contradictions(settings)
    return settings


def parse_toml(text: str, *, origin: str) -> dict[str, Any]:
    """The settings of a file, each checked by itself. Raises :class:`ConfigError`."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{origin}: not TOML: {one_line(str(error))}") from None
    for key in table:
        if key not in FIELDS:
            raise ConfigError(f"{origin}: {unknown(key, FIELDS)}")
    return {key: _value(key, value, f"{origin}: {key}") for key, value in table.items()}


def parse_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings that ``KMS_*`` variables give, each checked by itself. Raises :class:`ConfigError`."""
    by_variable = {field.env: field for field in FIELDS.values()}
    values: dict[str, Any] = {}
    for variable in sorted(environ):
        if not variable.startswith(ENV_PREFIX):
            continue
        field = by_variable.get(variable)
        if field is None:
            raise ConfigError(unknown(variable, by_variable))
        text = environ[variable]
        if field.name == AUDIT_SINKS:
            values[field.name] = parse_sink_variable(text, variable)
            continue
        value = [part.strip() for part in text.split(",") if text.strip()] if field.listed else text
        values[field.name] = convert(field, value, key=variable, strict=False)
    return values


def _value(key: str, value: object, where: str) -> object:
    if key == AUDIT_SINKS:
        return parse_sinks(value, where)
    return convert(FIELDS[key], value, key=where, strict=True)


def _read(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_LIMIT + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the configuration: {error.strerror}") from None
    if len(content) > FILE_LIMIT:
        raise ConfigError(f"{path}: a configuration has at most {FILE_LIMIT} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: a configuration is UTF-8 text") from None


def _add_credentials(values: dict[str, Any], environ: Mapping[str, str]) -> None:
    """systemd puts credentials into a directory that only this service can read."""
    directory = environ.get(CREDENTIALS_VARIABLE)
    if not directory:
        return
    for name, credential in (
        ("seal_passphrase_file", "ron-kms.seal-passphrase"),
        ("seal_keyfile", "ron-kms.seal-keyfile"),
        ("policy_token_file", "ron-kms.policy-token"),
    ):
        path = Path(directory, credential)
        if name not in values and path.exists():
            values[name] = str(path)
