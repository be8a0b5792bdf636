"""The HTTP sink against a collector in this process."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ronkms.audit.follower import Followed
from ronkms.audit.sinks.encoding import encoder
from ronkms.audit.sinks.http_transport import HttpTransport
from ronkms.domain.audit_sink import AuditSink
from ronkms.errors import Unavailable
from tests.unit.audit.log_files import make_lines

RECORDS = [Followed(number, line, bytes(32)) for number, line in enumerate(make_lines(40))]


class Collector(ThreadingHTTPServer):
    """``answer`` gives the status for a number of lines; a negative one closes without an answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: Callable[[int], int] = lambda _: 200
        self.requests: list[tuple[dict[str, str], list[bytes]]] = []
        self.connections = 0
        self.closes = False

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Collector

    def do_POST(self) -> None:
        lines = self.rfile.read(int(self.headers["Content-Length"])).splitlines()
        status = self.server.answer(len(lines))
        if status < 0:
            self.close_connection = True
            return
        self.server.requests.append((dict(self.headers), lines))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        # Without having said so, as one does that has waited long enough.
        self.close_connection = self.server.closes

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def transport_to(collector: Collector, **settings: Any) -> HttpTransport:
    target = f"http://127.0.0.1:{collector.server_address[1]}/in"
    sink = AuditSink(name="siem", target=target, timeout_ms=5000, **settings)
    return HttpTransport(sink, encoder(sink.format), context=None)


@pytest.fixture
def transport(collector: Collector) -> Iterator[HttpTransport]:
    made = transport_to(collector)
    made.open()
    yield made
    made.close()


def test_records_are_lines_of_one_request(transport: HttpTransport, collector: Collector) -> None:
    assert transport.deliver(RECORDS[3:8]) == 5
    assert transport.deliver(RECORDS[8:9]) == 1
    transport.check()
    (headers, lines), (second, _) = collector.requests
    assert lines == [record.line for record in RECORDS[3:8]]
    assert (headers["Ron-Kms-Records"], second["Ron-Kms-Records"]) == ("3-7", "8-8")
    assert headers["Content-Type"] == "application/x-ndjson"
    assert headers["Ron-Kms-Sink"] == "siem"
    assert "Authorization" not in headers
    assert collector.connections == 1, "kept alive"


def test_a_request_keeps_its_limits(collector: Collector) -> None:
    length = len(RECORDS[10].line) + 1
    made = transport_to(collector, batch_records=7, batch_bytes=max(1024, 5 * length))
    made.open()
    taken = made.deliver(RECORDS[10:30])
    assert 1 <= taken <= 7
    assert sum(len(line) + 1 for line in collector.requests[0][1]) <= max(1024, 5 * length)
    made.close()


@pytest.mark.parametrize("status", [301, 302, 400, 401, 404, 429, 500, 503])
def test_what_is_not_2xx_is_no_acknowledgement(
    transport: HttpTransport, collector: Collector, status: int
) -> None:
    collector.answer = lambda _: status
    with pytest.raises(Unavailable, match=f"the collector answers {status}"):
        transport.deliver(RECORDS[:3])
    collector.answer = lambda _: 204
    assert transport.deliver(RECORDS[:3]) == 3


def test_a_batch_that_is_too_large_is_halved(transport: HttpTransport, collector: Collector) -> None:
    collector.answer = lambda lines: 413 if lines > 6 else 200
    assert transport.deliver(RECORDS) == 5
    collector.answer = lambda _: 413
    with pytest.raises(Unavailable, match="413"):
        transport.deliver(RECORDS)


def test_a_collector_that_closes_idle_connections_is_well(
    transport: HttpTransport, collector: Collector
) -> None:
    collector.closes = True
    for at in range(10):
        assert transport.deliver(RECORDS[at : at + 1]) == 1
        transport.check()
    assert [lines for _, lines in collector.requests] == [[record.line] for record in RECORDS[:10]]


def test_one_that_closes_without_an_answer_is_not(transport: HttpTransport, collector: Collector) -> None:
    collector.answer = lambda _: -1
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        transport.deliver(RECORDS[:1])


def test_the_token_is_read_anew_and_never_told(collector: Collector, tmp_path: Path) -> None:
    token = tmp_path / "token"
    made = transport_to(collector, token_file=str(token))
    with pytest.raises(FileNotFoundError):
        made.open()
    for wrong in ("", "\n", "two words\n", "secr\x01et\n", "gehe\u00efm\n"):
        token.write_text(wrong)
        with pytest.raises(Unavailable, match="has no token in its first line") as caught:
            made.open()
        assert not wrong.strip() or wrong.strip() not in str(caught.value)
    for content in ("first\n", "second"):
        token.write_text(content)
        made.open()
        made.deliver(RECORDS[:1])
        made.close()
    sent = [headers["Authorization"] for headers, _ in collector.requests]
    assert sent == ["Bearer first", "Bearer second"]


def test_cef_is_text(collector: Collector) -> None:
    made = transport_to(collector, format="cef")
    made.open()
    made.deliver(RECORDS[:1])
    made.close()
    headers, (line,) = collector.requests[0]
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert line.startswith(b"CEF:0|")
