"""Reading a request: bearer token, correlation id, body framing, query."""

from __future__ import annotations

import io
from typing import Any

import pytest

from ronkms.api.incoming import (
    DRAINED,
    Incoming,
    bearer,
    correlation_id,
    leaves_body,
    short_json_length,
)
from ronkms.errors import BadRequest, TooLarge, Unauthenticated, UnsupportedMediaType

JSON = {"CONTENT_TYPE": "application/json"}


def incoming(body: bytes = b"", **environ: Any) -> Incoming:
    return Incoming({"wsgi.input": io.BytesIO(body), **environ}, {})


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER  abc "])
def test_the_scheme_has_no_case(header: str) -> None:
    assert bearer({"HTTP_AUTHORIZATION": header}) == "abc"


@pytest.mark.parametrize("environ", [{}, {"HTTP_AUTHORIZATION": "abc"}, {"HTTP_AUTHORIZATION": "Basic abc"}])
def test_no_bearer_token(environ: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        bearer(environ)


def test_correlation_ids_differ() -> None:
    assert correlation_id({}) != correlation_id({})


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
    ],
)
def test_json_media_types(content_type: str) -> None:
    assert incoming(b"{}", CONTENT_TYPE=content_type, CONTENT_LENGTH="2").json_body() == b"{}"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"CONTENT_TYPE": "text/plain"},
        {"CONTENT_TYPE": "application/x-www-form-urlencoded"},
        {"CONTENT_TYPE": "application/json; charset=latin-1"},
        {"CONTENT_TYPE": "application/jsonp"},
        {**JSON, "HTTP_CONTENT_ENCODING": "gzip"},
    ],
)
def test_other_media_types(environ: dict[str, str]) -> None:
    with pytest.raises(UnsupportedMediaType):
        incoming(b"{}", CONTENT_LENGTH="2", **environ).json_body()


def test_a_body_may_be_missing_only_where_it_is_optional() -> None:
    assert incoming().json_body(required=False) == b""
    assert incoming(CONTENT_LENGTH="0").json_body(required=False) == b""
    for environ in ({}, JSON, {"CONTENT_LENGTH": "0"}):
        with pytest.raises(BadRequest):
            incoming(**environ).json_body()


def test_too_large_is_told_before_reading_if_it_can_be() -> None:
    request = incoming(b"123456", CONTENT_LENGTH="6", **JSON)
    with pytest.raises(TooLarge):
        request.json_body(5)
    assert request.environ["wsgi.input"].tell() == 0
    chunked = incoming(b"123456", HTTP_TRANSFER_ENCODING="chunked", **JSON)
    with pytest.raises(TooLarge):
        chunked.json_body(5)
    assert incoming(b"12345", HTTP_TRANSFER_ENCODING="chunked", **JSON).json_body(5) == b"12345"


def test_a_body_that_ends_early_is_malformed() -> None:
    with pytest.raises(BadRequest):
        incoming(b"12", CONTENT_LENGTH="3", **JSON).json_body()


def test_framing_errors_of_the_server_are_the_callers() -> None:
    class Broken:
        def read(self, size: int) -> bytes:
            raise RuntimeError("bad chunk")

    with pytest.raises(BadRequest, match="framed"):
        Incoming({**JSON, "wsgi.input": Broken(), "HTTP_TRANSFER_ENCODING": "chunked"}, {}).json_body()


def test_broken_connections_are_not_answered() -> None:
    class Gone:
        def read(self, size: int) -> bytes:
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        Incoming({**JSON, "wsgi.input": Gone(), "CONTENT_LENGTH": "1"}, {}).json_body()


def test_which_unread_bodies_end_the_connection() -> None:
    assert leaves_body({}) is False
    assert leaves_body({"CONTENT_LENGTH": str(DRAINED)}) is False
    assert leaves_body({"CONTENT_LENGTH": str(DRAINED + 1)}) is True
    assert leaves_body({"HTTP_TRANSFER_ENCODING": "chunked"}) is True
    request = incoming(b"x" * (DRAINED + 1), CONTENT_LENGTH=str(DRAINED + 1), **JSON)
    request.json_body()
    assert leaves_body(request.environ) is False


def test_query() -> None:
    assert incoming(QUERY_STRING="a=1&b=%20x").query("a", "b") == {"a": "1", "b": " x"}
    assert incoming().query("a") == {}
    for text in ("c=1", "a=1&a=2", "a", "a=%ff", "&", "a=1;b=2&&"):
        with pytest.raises(BadRequest):
            incoming(QUERY_STRING=text).query("a", "b")


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("application/x-pem-file", True),
        ("text/html, Application/X-PEM-File;q=0.5", True),
        ("", False),
        ("*/*", False),
        ("application/json", False),
    ],
)
def test_accept(accept: str, wanted: bool) -> None:
    assert incoming(HTTP_ACCEPT=accept).accepts("application/x-pem-file") is wanted


def test_what_takes_a_body_takes_no_query() -> None:
    query = {"QUERY_STRING": "key_version=1", **JSON}
    assert short_json_length(query | {"CONTENT_LENGTH": "2"}) == 0
    with pytest.raises(BadRequest):
        incoming(b"{}", CONTENT_LENGTH="2", **query).json_body()
