"""Answers that the server writes without the application."""

from __future__ import annotations

import json

from ronkms.server.closing_answer import closing_answer


def test_is_a_whole_answer_that_ends_the_connection() -> None:
    head, _, body = closing_answer(503, "saturated", "all capacity is in use", retry_after=2).partition(
        b"\r\n\r\n"
    )
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    problem = json.loads(body)
    assert first == "HTTP/1.1 503 Service Unavailable"
    assert headers["Connection"] == "close"
    assert headers["Retry-After"] == "2"
    assert headers["Content-Type"] == "application/problem+json"
    assert int(headers["Content-Length"]) == len(body)
    assert headers["X-Correlation-ID"] == problem["corr_id"]
    assert (problem["status"], problem["code"]) == (503, "saturated")


def test_without_retry_after() -> None:
    assert b"Retry-After" not in closing_answer(400, "bad_request", "x")
