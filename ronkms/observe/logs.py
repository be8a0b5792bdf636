"""Log lines on stderr: logfmt or JSON, one ``write`` a line, with ``corr_id`` where there is one.

Modules log with ``structlog.get_logger()``; a request binds ``corr_id`` with ``structlog.contextvars``.
Loggers of libraries (``logging``) come out in the same form. Values of fields that could hold a secret are
masked, and control characters are escaped, so that no input can forge a line or colour a terminal.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Final, TextIO

import structlog

SERVICE: Final = "ron-kms"
MASK: Final = "[redacted]"
_SECRET_FIELD: Final = re.compile(
    r"(^|_)(token|authorization|passphrase|password|pin|seed|secret|private_key|plaintext|bearer)$"
)
_BEARER: Final = re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]+")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
"""Line feeds are left to the renderers, which both escape them."""
_FIRST_FIELDS: Final = ("time", "level", "service", "event")

Event = MutableMapping[str, Any]


def configure_logs(level: str, form: str, stream: TextIO | None = None) -> None:
    """Sets up logging for this process and those that it forks.

    ``level`` is debug, info, warning or error; ``form`` is logfmt or json; ``stream`` is stderr if None.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    output = stream or sys.stderr
    renderer = _render_json if form == "json" else structlog.processors.LogfmtRenderer(bool_as_flag=False)
    shared: list[Callable[[Any, str, Event], Any]] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    last: list[Callable[[Any, str, Event], Any]] = [
        structlog.processors.format_exc_info,
        redact,
        _order,
        renderer,
    ]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=output),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    logging.captureWarnings(capture=True)


def ready_line(form: str) -> str:
    """The line that tells an operator, and scripts, that the server serves."""
    return '{"service":"ron-kms","ready":1}' if form == "json" else "service=ron-kms ready=1"


def redact(_logger: object, _method: str, event: Event) -> Event:
    """Masks values of secret fields, bearer tokens anywhere, and control characters."""
    for key, value in event.items():
        if _SECRET_FIELD.search(key.lower()):
            event[key] = MASK
        elif isinstance(value, str):
            event[key] = _clean(value)
        elif not isinstance(value, int | float | None):
            event[key] = _clean(str(value))
    return event


def _clean(text: str) -> str:
    if "earer" in text or "EARER" in text:
        text = _BEARER.sub(rf"\1{MASK}", text)
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def _order(_logger: object, _method: str, event: Event) -> Event:
    event.setdefault("service", SERVICE)
    ordered: Event = {key: event[key] for key in _FIRST_FIELDS if key in event}
    ordered.update(event)
    return ordered


def _render_json(_logger: object, _method: str, event: Event) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))
