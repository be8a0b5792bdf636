"""An HTTP collector as a process: ``python sink_collector.py PORT OUT MODE``.

Each request looks into the file MODE: ``ok`` keeps it as a JSON line in OUT and answers 200, ``hang`` gives
no answer, ``close`` closes without one, a number is the status of the answer.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LOCK = threading.Lock()


def read_mode() -> str:
    """Never the empty text that stands there while it is replaced."""
    while not (mode := Path(sys.argv[3]).read_text()):
        time.sleep(0.001)
    return mode


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        mode = read_mode()
        while mode == "hang":
            time.sleep(0.05)
            mode = read_mode()
            if mode != "hang":
                self.close_connection = True
                return
        if mode == "close":
            self.close_connection = True
            return
        status = 200
        if mode == "ok":
            names = ("Authorization", "Content-Type", "Ron-Kms-Records", "Ron-Kms-Sink")
            kept = {name: self.headers[name] for name in names} | {"path": self.path, "body": body}
            with LOCK, Path(sys.argv[2]).open("a") as out:
                out.write(json.dumps(kept) + "\n")
        else:
            status = int(mode)
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Silent."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Collector) as server:
        server.daemon_threads = True
        server.serve_forever()
