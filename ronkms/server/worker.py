"""The worker process: gunicorn's gthread worker, with its waits bounded.

What differs from gunicorn's:

- A connection takes a thread only when its first byte is here. Connections whose tenant is not known yet are
  accepted only while few of them wait (gunicorn issues 3433 and 908): what is in excess waits in the kernel,
  where another worker may take it.
- Requests wait unread for a thread in one line a tenant, and the lines are served fairly (``fair_queue``).
- Connections are spread over the workers (``accept_turn``).
- A request that waited longer than ``queue_deadline_ms``, in the kernel too, is answered unread: 429 to a
  known tenant that holds more than its share of the waiting places while others wait, 503 ``saturated``
  otherwise.
- A connection that was answered 429, or whose tenant holds more than its share of the waiting places while
  none is free, is parked: not read until its Retry-After (docs/CONCURRENCY.md).
- A thread takes what is here of a TLS handshake and of a request's head, and lets go while some is missing
  (``arriving``): what is sent slowly before a capability is seen holds no thread.
- A request that takes too long to arrive or to be answered is cut.
- A closed connection lingers in the poller, not in the main thread.
- SIGTERM closes the listeners at once, after taking what the kernel had queued; requests in flight finish and
  their answers say ``Connection: close``. SIGINT is the arbiter's to handle.

The WSGI environment has, besides PEP 3333: ``ronkms.queued_at`` (``time.monotonic()`` seconds),
``ronkms.presses`` (bool, may be missing; see ``fair_queue``) and, with
mutual TLS, ``ronkms.client_cert_sha256`` (hex). The application calls ``ronkms.authenticated`` with the
tenant of the request once it knows it. An application that answers without reading a large body sends the
header ``("Connection", "close")``.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import signal
import socket
import ssl
import time
from collections import deque
from collections.abc import Hashable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import structlog
from gunicorn.http import Request, wsgi
from gunicorn.http.errors import ParseException
from gunicorn.http.wsgi import Response
from gunicorn.sock import BaseSocket
from gunicorn.workers.gthread import (  # type: ignore[attr-defined]  # the stub lacks the constant
    STOP_KEEPALIVE_LINGER,
    ThreadWorker,
)

from ronkms.domain.measure import COUNTER_INDEX, http_counter
from ronkms.server.accept_turn import AcceptTurn
from ronkms.server.arriving import Arriving
from ronkms.server.closing_answer import closing_answer
from ronkms.server.connection import Connection
from ronkms.server.http_response import KmsResponse
from ronkms.server.lingering import Lingering
from ronkms.server.malformed_request import status_of
from ronkms.server.request_threads import RequestThreads
from ronkms.server.waiting_places import waiting_places

if TYPE_CHECKING:
    from ronkms.server.gunicorn_application import KmsServer

FRESH_PER_THREAD: Final = 5
"""Connections without a known tenant that may be in hand for each thread before a worker stops accepting."""
RETRY_SECONDS: Final = 1.0
"""The Retry-After of a 429: how long a connection stays parked."""
HEADER_SECONDS: Final = 10.0
"""From the first byte of a request to the end of its headers."""
DRAIN_SECONDS: Final = 0.005
"""How long a thread waits for a body that the application did not read; then the connection ends."""
CUT_INTERVAL: Final = 0.25
ACCEPT_PAUSE: Final = 0.05
"""After the process ran out of descriptors or memory for one more connection."""

_BACKPRESSURE: Final = COUNTER_INDEX["rejected_total|backpressure"]
_MALFORMED: Final = COUNTER_INDEX["rejected_total|malformed"]

TOO_MANY_REQUESTS: Final = 429
_OVER_SHARE: Final = (429, "tenant_over_share", "this tenant uses more than its share while others wait")
_SATURATED: Final = (503, "saturated", "all capacity is in use")

_FOR_THE_ARBITER: Final = (
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
)

_log = structlog.get_logger()


class KmsWorker(ThreadWorker):
    """See the module. ``slot`` is its place in the arena, ``row`` its place on the board."""

    app: KmsServer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.slot = -1
        self.row = -1
        settings = self.app.settings
        self._arena = self.app.application.arena
        self._board = self.app.board
        self._external_policy = self.app.application.external_policy
        self._turn = AcceptTurn(self.app.board)
        self._queue_deadline = settings.queue_deadline_ms / 1000
        self._request_timeout = settings.request_timeout_ms / 1000
        self._keepalive_seconds = settings.keepalive_ms / 1000
        self._fresh_limit = settings.threads * FRESH_PER_THREAD
        self._places = waiting_places(settings)
        self._fresh = 0
        self._in_hand: set[Connection] = set()
        self._parked: deque[Connection] = deque()
        self._arriving = Arriving(
            min(HEADER_SECONDS, self._request_timeout),
            more=self.enqueue_req,
            late=self._linger,
            gone=self._forget,
        )
        self._lingering = Lingering(self._forget)
        self._next_cut = 0.0
        self._log_requests = False

    def init_signals(self) -> None:
        """SIGINT reaches the whole foreground group; the arbiter turns it into a SIGTERM. Whoever signals
        all processes by name means the arbiter, too."""
        super().init_signals()
        for number in _FOR_THE_ARBITER:
            signal.signal(number, signal.SIG_IGN)

    def get_thread_pool(self) -> RequestThreads[Connection]:  # type: ignore[override]  # of it, shutdown is used
        """Made in the child."""
        self._threads = RequestThreads(self.cfg.threads, self._serve)
        return self._threads

    def init_process(self) -> None:
        """Runs in the child, before the first connection."""
        self._log_requests = _log.is_enabled_for(10)
        super().init_process()

    # --- accepting ---------------------------------------------------------------------------

    def set_accept_enabled(self, enabled: bool | None) -> None:
        """Only while there is room and it is this worker's turn; when the worker stops, takes what waits and
        closes the listeners."""
        room = self._fresh < self._fresh_limit and time.monotonic() >= self._turn.look_at
        super().set_accept_enabled(bool(enabled) and room)
        if not self.alive:
            for listener in cast("list[BaseSocket]", self.sockets):
                self._accept_the_rest(listener)
                listener.close()

    def _accept_the_rest(self, listener: BaseSocket) -> None:
        if listener.sock is not None:
            while self._accept_one(listener):
                pass

    def accept(self, listener: BaseSocket) -> None:  # type: ignore[override]  # it is gunicorn's wrapper
        """A listener is readable."""
        if self._turn.leaves(self.row, self.nr_conns, time.monotonic()):
            super().set_accept_enabled(enabled=False)
        else:
            self._accept_one(listener)

    def _accept_one(self, listener: BaseSocket) -> bool:
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            _log.error("accept_failed", error=error.strerror)
            time.sleep(ACCEPT_PAUSE)
            return False
        self.nr_conns += 1
        conn = Connection(self.cfg, client, address, listener.getsockname(), self._keepalive_seconds)
        if conn.has_data():
            conn.data_ready = True
            self.enqueue_req(conn)
        else:
            self._await_first_byte(conn)
        return True

    def _await_first_byte(self, conn: Connection) -> None:
        conn.set_timeout()
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def enqueue_req(self, conn: Connection) -> None:  # type: ignore[override]
        """A connection has data: it waits in its tenant's line, or parked if that holds too many places."""
        conn.queued_at = time.monotonic() - conn.waited
        conn.waited = 0.0
        if self._is_excess(conn):
            self._park(conn)
        else:
            self._queue(conn)

    def _is_excess(self, conn: Connection) -> bool:
        queue = self._threads.queue
        if len(queue) < self._places or conn.of_many or not self.alive:
            return False
        return queue.length(conn.line) * queue.tenants >= self._places

    def _queue(self, conn: Connection) -> None:
        conn.started_at = None
        conn.answering = False
        self._in_hand.add(conn)
        if conn.tenant is None:
            self._fresh += 1
            conn.fresh = True
            if self._fresh >= self._fresh_limit and self.alive:
                super().set_accept_enabled(enabled=False)
        self._threads.submit(conn.line, conn, known=conn.tenant is not None)

    # --- parking -----------------------------------------------------------------------------

    def _park(self, conn: Connection) -> None:
        conn.parked_until = time.monotonic() + RETRY_SECONDS
        self._parked.append(conn)
        self._show_load()

    def _unpark(self, now: float) -> None:
        """Reads on from the connections whose time is up; from all when the worker stops."""
        while self._parked and (self._parked[0].parked_until <= now or not self.alive):
            conn = self._parked.popleft()
            if conn.park:
                conn.park = False
                self._keep(conn)
            else:
                self._queue(conn)

    def wait_for_and_dispatch_events(self, timeout: float | None) -> None:
        """Wakes up for the next parked connection too, and for new ones that were left to others."""
        now = time.monotonic()
        if self._parked:
            timeout = min(timeout or RETRY_SECONDS, max(self._parked[0].parked_until - now, 0.0))
        if self._turn.look_at > now:
            timeout = min(timeout or RETRY_SECONDS, self._turn.look_at - now)
        super().wait_for_and_dispatch_events(timeout)
        self._unpark(time.monotonic())
        self._show_load()

    def _show_load(self) -> None:
        self._board.show_load(self.row, len(self._threads.queue), len(self._parked), self.nr_conns)
        if self._external_policy is not None:
            decisions = self._external_policy.decisions
            fault = decisions.last_fault
            number, at = (fault.fault.number, fault.at) if fault is not None else (0, 0)
            self._board.show_external_policy(self.row, decisions.breaker, number, at)

    # --- in a thread -------------------------------------------------------------------------

    def _serve(self, conn: Connection) -> Hashable:
        """One request, whatever comes of it. Returns whom its time is charged to."""
        keep = False
        try:
            keep = self.handle(conn)
        except Exception:  # noqa: BLE001  # the thread must live on
            _log.exception("connection_failed", peer=str(conn.client))
        finally:
            self.method_queue.defer(self.finish_request, conn, keep)
        return conn.line

    def handle(self, conn: Connection) -> bool:  # type: ignore[override]
        """One request. False: the connection ends."""
        conn.started_at = time.monotonic()
        conn.incomplete = False
        if conn.started_at - conn.queued_at > self._queue_deadline:
            return self._shed(conn)
        return self._head_is_here(conn) and bool(super().handle(conn))

    def _head_is_here(self, conn: Connection) -> bool:
        """False: some of it is missing (``incomplete``), or the connection ends."""
        try:
            conn.incomplete = not conn.gather()
        except (ParseException, ssl.SSLError) as error:
            self.handle_error(None, conn.sock, conn.client, error)
            return False
        except OSError as error:
            _log.debug("connection_ended", peer=str(conn.client), error=str(error))
            return False
        return not conn.incomplete

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        return keepalive and conn.finish_body(DRAIN_SECONDS)

    def _shed(self, conn: Connection) -> bool:
        queue = self._threads.queue
        known = conn.tenant is not None
        over = known and queue.tenants > 1 and queue.length(conn.line) * queue.tenants > len(queue)
        status, code, detail = _OVER_SHARE if over else _SATURATED
        self._arena.count(_BACKPRESSURE)
        self._arena.count(http_counter(status))
        if not self.cfg.is_ssl or conn.initialized:
            self._send(conn.sock, closing_answer(status, code, detail, retry_after=1))
        return False

    def handle_request(self, req: Request, conn: Connection) -> bool:  # type: ignore[override]
        """Runs the application. Returns whether the connection may serve another request."""
        conn.answering = True
        response, environ = wsgi.create(
            req,
            conn.sock,
            conn.client,
            conn.server,
            self.cfg,
            response_class=KmsResponse,
            response_args=(self,),
        )
        environ["wsgi.multithread"] = True
        environ["ronkms.queued_at"] = conn.queued_at
        environ["ronkms.authenticated"] = conn.authenticated
        if len(queue := self._threads.queue):
            environ["ronkms.presses"] = queue.presses(conn.line)
        if self.cfg.is_ssl and (fingerprint := conn.fingerprint) is not None:
            environ["ronkms.client_cert_sha256"] = fingerprint
        if len(self.keepalived_conns) >= self.max_keepalived or not self._keepalive_seconds:
            response.force_close()
        try:
            body = self.wsgi(environ, response.start_response)  # type: ignore[arg-type]  # of the stub
            try:
                for part in body:
                    response.write(part)
                response.close()
            finally:
                if hasattr(body, "close"):
                    body.close()
        except OSError:
            raise
        except Exception:
            if response.headers_sent:
                # A 500 written into a half-sent answer would corrupt it.
                _log.exception("answer_broken", method=req.method, path=req.path)
                raise StopIteration from None
            raise
        if self._log_requests:
            _log_request(req, response, conn)
        conn.park = response.status_code == TOO_MANY_REQUESTS and not conn.of_many
        return not response.should_close()

    def handle_error(self, req: Request | None, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """What never reached the application, or failed in it: problem+json, counted."""
        if isinstance(exc, ssl.SSLError):
            _log.debug("tls_failed", peer=str(addr), error=str(exc))
            return
        status, code, detail = status_of(exc)
        if status == 500:
            _log.error(
                "request_failed",
                method=getattr(req, "method", None),
                path=getattr(req, "path", None),
                exc_info=exc,
            )
        else:
            self._arena.count(_MALFORMED)
        self._arena.count(http_counter(status))
        self._send(client, closing_answer(status, code, detail))

    @staticmethod
    def _send(client: socket.socket, answer: bytes) -> None:
        with contextlib.suppress(OSError):
            client.settimeout(1.0)
            client.sendall(answer)

    # --- back in the main thread ---------------------------------------------------------------

    def finish_request(self, conn: Connection, keep: bool) -> None:  # type: ignore[override]
        """A thread is done with a connection."""
        self._in_hand.discard(conn)
        if conn.fresh:
            conn.fresh = False
            self._fresh -= 1
        conn.started_at = None
        if conn.incomplete:
            self._arriving.add(conn, self.poller)
        elif not keep:
            self._linger(conn)
        elif conn.park and self.alive:
            self._park(conn)
        else:
            self._keep(conn)

    def _keep(self, conn: Connection) -> None:
        """Waits for the next request, or goes on with one that is read already."""
        try:
            conn.sock.setblocking(False)
            if conn.has_read_ahead():
                self.enqueue_req(conn)
                return
            conn.set_timeout()
            if not self.alive:
                conn.timeout = min(conn.timeout or 0.0, time.monotonic() + STOP_KEEPALIVE_LINGER)
            self.keepalived_conns.append(conn)
            self.poller.register(
                conn.sock, selectors.EVENT_READ, partial(self.on_client_socket_readable, conn)
            )
        except (OSError, ValueError):
            self._forget(conn)

    def _linger(self, conn: Connection) -> None:
        self._lingering.add(conn, self.poller)

    def _forget(self, conn: Connection) -> None:
        with contextlib.suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()

    def murder_pending(self) -> None:
        """Ends what waits for a first byte, what lingers, and what takes too long."""
        super().murder_pending()
        now = time.monotonic()
        self._lingering.end_late(now)
        self._arriving.end_late(now, self.poller)
        if now >= self._next_cut:
            self._next_cut = now + CUT_INTERVAL
            self._cut_slow(now)

    def _cut_slow(self, now: float) -> None:
        for conn in self._in_hand:
            started = conn.started_at
            if started is not None and now - started > self._time_limit(conn):
                # The thread that reads from it wakes up with an end of file.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(conn.sock, socket.SHUT_RDWR)

    def _time_limit(self, conn: Connection) -> float:
        return self._request_timeout if conn.answering else min(HEADER_SECONDS, self._request_timeout)


def _log_request(req: Request, response: Response, conn: Connection) -> None:
    corr_id = next((value for name, value in response.headers if name.lower() == "x-correlation-id"), None)
    _log.debug(
        "request",
        corr_id=corr_id,
        method=req.method,
        path=req.path,
        status=response.status_code,
        ms=round((time.monotonic() - conn.queued_at) * 1000, 3),
    )
