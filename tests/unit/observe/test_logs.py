"""The form of log lines, and what never gets into one."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from ronkms.observe.logs import MASK, configure_logs, ready_line, redact


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    structlog.contextvars.clear_contextvars()  # those of requests that other tests made in this thread
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _lines(level: str, form: str) -> io.StringIO:
    stream = io.StringIO()
    configure_logs(level, form, stream)
    return stream


def test_logfmt_line_has_time_level_service_event_first() -> None:
    stream = _lines("info", "logfmt")
    structlog.get_logger().info("key_rotated", key_id="a", version=2)
    assert re.fullmatch(
        r"time=\S+Z level=info service=ron-kms event=key_rotated key_id=a version=2\n", stream.getvalue()
    )


def test_json_line() -> None:
    stream = _lines("info", "json")
    structlog.get_logger().info("key_rotated", key_id="a", ready=True, missing=None)
    line = json.loads(stream.getvalue())
    line.pop("time")
    assert line == {
        "level": "info",
        "service": "ron-kms",
        "event": "key_rotated",
        "key_id": "a",
        "ready": True,
        "missing": None,
    }


def test_corr_id_is_in_every_line_of_a_request() -> None:
    stream = _lines("info", "logfmt")
    with structlog.contextvars.bound_contextvars(corr_id="c-1"):
        structlog.get_logger().info("one")
        logging.getLogger("library").warning("two %s", "x")
    structlog.get_logger().info("three")
    one, two, three = stream.getvalue().splitlines()
    assert "corr_id=c-1" in one
    assert "corr_id=c-1" in two
    assert 'event="two x"' in two
    assert "corr_id" not in three


def test_level_filters_own_and_library_lines() -> None:
    stream = _lines("warning", "logfmt")
    structlog.get_logger().info("quiet")
    logging.getLogger("library").info("quiet")
    structlog.get_logger().warning("loud")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_no_input_forges_a_line_or_colours_a_terminal(form: str) -> None:
    stream = _lines("info", form)
    structlog.get_logger().info("x", a="1\nservice=ron-kms ready=1\r\x1b[31m", b="\x85\u2028\x9b")
    logging.getLogger("library").warning("1\nservice=ron-kms ready=1\x1b[0m")
    text = stream.getvalue()
    assert text.count("\n") == 2
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028]", text)
    assert not any(line.startswith("service=ron-kms ready=1") for line in text.splitlines())


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_a_traceback_is_one_line(form: str) -> None:
    stream = _lines("info", form)
    try:
        int("a\nb")
    except ValueError:
        structlog.get_logger().exception("broken")
        logging.getLogger("library").exception("broken too")
    assert stream.getvalue().count("\n") == 2
    assert stream.getvalue().count("ValueError: invalid literal") == 2


SECRETS = (
    "token",
    "Authorization",
    "cap_token",
    "passphrase",
    "pin",
    "seed",
    "private_key",
    "plaintext",
    "password",
)


@pytest.mark.parametrize("name", SECRETS)
def test_secret_fields_are_masked(name: str) -> None:
    assert redact(None, "", {name: "hunter2"}) == {name: MASK}
    assert redact(None, "", {name: b"hunter2"}) == {name: MASK}


@pytest.mark.parametrize("name", ["token_id", "key_id", "pinned", "seeds_total", "event"])
def test_other_fields_are_not(name: str) -> None:
    assert redact(None, "", {name: "value"}) == {name: "value"}


@given(st.text(alphabet="abcXYZ019-_=", min_size=8))
def test_bearer_tokens_are_masked_anywhere(token: str) -> None:
    for text in (f"got Bearer {token} there", f"authorization: bearer {token}"):
        shown = redact(None, "", {"detail": text})["detail"]
        assert token not in shown
        assert MASK in shown


def test_ready_line_in_both_forms() -> None:
    assert ready_line("logfmt") == "service=ron-kms ready=1"
    assert json.loads(ready_line("json")) == {"service": "ron-kms", "ready": 1}
