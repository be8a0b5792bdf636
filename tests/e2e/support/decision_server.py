"""A decision point that speaks OPA's data API, with rules and with faults: a process of its own.

    python -m tests.e2e.support.decision_server PORT [CERT KEY CLIENT_CA]

``PUT /control`` sets :class:`Behaviour`, ``GET /control`` tells what was asked. Of the rules the first whose
members all equal the question's decides (``key`` is the key id); ``default`` is what no rule does.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = "/v1/data/ronkms/allow"
UNDEFINED = "undefined"


@dataclass
class Behaviour:
    """``fault``: none, hang, drip, garbage, status, redirect, oversized, cut, close, endless_headers."""

    rules: list[dict[str, Any]] = field(default_factory=list)
    default: Any = True
    fault: str = "none"
    latency: float = 0.0
    status: int = 500
    hang_seconds: float = 30.0
    bearer: str = ""
    """What ``Authorization`` must be; any if empty."""


class DecisionServer(ThreadingHTTPServer):
    """``behaviour`` may be replaced while it runs; ``asked`` has the inputs in order."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.behaviour = Behaviour()
        self.asked: list[dict[str, Any]] = []
        self.connections = 0
        self.inflight = 0
        self.most_inflight = 0
        self.lock = threading.Lock()
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        """As ``policy_url``, without TLS."""
        return f"http://127.0.0.1:{self.server_port}{PATH}"

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.lock:
            self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave are no errors here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: DecisionServer

    def log_message(self, *_: Any) -> None:
        """Silent."""

    def do_PUT(self) -> None:
        self.server.behaviour = Behaviour(**json.loads(self._body()))
        with self.server.lock:
            self.server.asked.clear()
        self._send(200, b"{}")

    def do_GET(self) -> None:
        server = self.server
        with server.lock:
            told = {"asked": server.asked, "connections": server.connections, "most": server.most_inflight}
            body = json.dumps(told).encode()
        self._send(200, body)

    def do_POST(self) -> None:
        server, behaviour = self.server, self.server.behaviour
        question = json.loads(self._body())["input"]
        with server.lock:
            server.asked.append(question)
            server.inflight += 1
            server.most_inflight = max(server.most_inflight, server.inflight)
        try:
            if behaviour.latency:
                time.sleep(behaviour.latency)
            self._answer(behaviour, question)
        finally:
            with server.lock:
                server.inflight -= 1

    def _answer(self, behaviour: Behaviour, question: dict[str, Any]) -> None:
        if behaviour.bearer and self.headers.get("Authorization") != f"Bearer {behaviour.bearer}":
            self._send(401, b'{"code":"unauthorized"}')
            return
        if self.path != PATH:
            self._send(200, b"{}")
            return
        body = json.dumps(_decide(behaviour, question)).encode()
        match behaviour.fault:
            case "none":
                self._send(200, body)
            case "hang":
                time.sleep(behaviour.hang_seconds)
            case "garbage":
                self._send(200, b'{"result": tru')
            case "status":
                self._send(behaviour.status, body)
            case "redirect":
                self.send_response(307)
                self.send_header("Location", self.server.url + "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()
            case "oversized":
                self._send(200, b'{"result": true, "pad": "' + b"x" * (1 << 20) + b'"}')
            case "oversized_chunked":
                self._chunks([b'{"result": true, "pad": "', *[b"x" * 4096] * 64, b'"}'])
            case "chunked":
                self._chunks([body[:3], body[3:]])
            case "not_kept":
                self.send_response(200)
                self.send_header("Connection", "close")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            case "http_1_0":
                self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + body)
                self.close_connection = True
            case "cut":
                self.send_response(200)
                self.send_header("Content-Length", str(len(body) + 7))
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True
            case "close":
                self.connection.shutdown(socket.SHUT_RDWR)
            case "drip":
                self._drip(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            case "endless_headers":
                self._drip(b"HTTP/1.1 200 OK\r\n" + b"X-More: yes\r\n" * 100_000, 16, 0.0)
            case "not_http":
                self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
                self.close_connection = True

    def _drip(self, raw: bytes, size: int = 1, pause: float = 0.05) -> None:
        self.close_connection = True
        for at in range(0, len(raw), size):
            self.wfile.write(raw[at : at + size])
            self.wfile.flush()
            time.sleep(pause)

    def _chunks(self, parts: list[bytes]) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in parts:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _decide(behaviour: Behaviour, question: dict[str, Any]) -> dict[str, Any]:
    facts = {
        **question,
        "key": (question["key"] or {}).get("id"),
        **(question["key"] or {}).get("labels", {}),
    }
    result = behaviour.default
    for rule in behaviour.rules:
        if all(facts.get(name) == value for name, value in rule["match"].items()):
            result = rule["result"]
            break
    answer = {"decision_id": f"d-{question['corr_id'][:16]}"}
    return answer if result == UNDEFINED else {**answer, "result": result}


def behaviour_body(**changes: Any) -> bytes:
    """The body of ``PUT /control``."""
    return json.dumps(asdict(Behaviour(**changes))).encode()


def server_context(certificate: str, key: str, client_ca: str) -> ssl.SSLContext:
    """TLS that demands a client certificate of ``client_ca``, if that is not empty."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


if __name__ == "__main__":
    tls = server_context(*sys.argv[2:5]) if len(sys.argv) > 2 else None
    serving = DecisionServer(int(sys.argv[1]), tls)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    serving.serve_forever()
