"""The admin process: health, readiness and metrics over HTTP, the admin socket, and the chores.

It shares nothing with the workers but the arena and the board, so it answers while they are saturated.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Final

import structlog

from ronkms.domain.measure import GAUGE_INDEX
from ronkms.errors import AuditUnavailable
from ronkms.server.admin_external_policy import ExternalPolicyAdmin
from ronkms.server.board import ProcessBoard
from ronkms.server.chores import Chore, Chores
from ronkms.server.external_policy_health import ExternalPolicyHealth
from ronkms.server.http_response import SERVER_NAME
from ronkms.server.waiting_places import waiting_places

if TYPE_CHECKING:
    from waitress.server import BaseWSGIServer, MultiSocketServer

    from ronkms.app import Application
    from ronkms.audit.witness_reporter import WitnessReporter
    from ronkms.server.admin_operations import AdminOperations
    from ronkms.server.readiness import Readiness

READINESS_SECONDS: Final = 0.1
RECHECK_SECONDS: Final = 1.0
DESTROY_SECONDS: Final = 5.0
DISABLE_SECONDS: Final = 1.0
ROTATE_SECONDS: Final = 5.0
SUMMARY_SECONDS: Final = 10.0
INTENTS_SECONDS: Final = 5.0
DIGEST_KEY_SECONDS: Final = 2.0
RETENTION_SECONDS: Final = 2.0
ANCHOR_SECONDS: Final = 3600.0
CLOCK_SECONDS: Final = 5.0
PROBE_SECONDS: Final = 1.0
USAGE_SECONDS: Final = 0.5
ROLLOUT_SECONDS: Final = 0.25
EXCEPTION_SECONDS: Final = 1.0
CLOCK_WARNING_SECONDS: Final = 1.0
THREADS: Final = 4

_log = structlog.get_logger()


class AdminProcess:
    """Composed before the fork, run after it; what it alone needs is imported in :meth:`run`."""

    def __init__(self, application: Application, listener: socket.socket, board: ProcessBoard) -> None:
        self._application = application
        self._listener = listener
        self._board = board
        self._skew_warned = False

    def run(self) -> None:
        """Serves until SIGQUIT. SIGTERM and SIGINT are the arbiter's, which stops this process last."""
        from ronkms.server.admin_socket import AdminSocket
        from ronkms.server.readiness import Readiness

        _catch_signals()
        application = self._application
        checkpointer = application.audit_parts.checkpointer()
        witness = application.audit_parts.witness_reporter()
        probe = application.external_probe()
        external = ExternalPolicyHealth(probe, self._board) if probe is not None else None
        readiness = Readiness(
            lambda: [
                *application.missing(),
                *checkpointer.missing(),
                *(witness.missing() if witness else []),
                *(probe.missing() if probe else []),
            ],
            self._board,
            on_change=self._tell,
        )
        server = self._http(readiness, witness, external)
        checkpointer.start()
        if witness is not None:
            witness.start()
        admin_socket = AdminSocket(application, checkpointer, self._external_admin(external))
        admin_socket.serve_in_thread()
        # By itself: what is missing must show at once, and others of the chores wait for a disk.
        watching = Chores([Chore("readiness", READINESS_SECONDS, readiness.evaluate)])
        chores = Chores(self._chores(admin_socket.operations))
        # By itself: making an RSA key takes long, and the other chores must not wait for it.
        rotation = Chores([Chore("rotation", ROTATE_SECONDS, application.rotate_due)])
        # By itself too: an old log is long.
        usage = Chores([Chore("key usage", USAGE_SECONDS, application.usage_recorder().turn)])
        # By itself: copying and comparing segments takes long.
        retention = Chores([Chore("audit retention", RETENTION_SECONDS, application.audit_retention())])
        watching.start()
        retention.start()
        chores.start()
        rotation.start()
        # By itself too: it waits for another machine.
        asking = Chores([Chore("external policy", PROBE_SECONDS, probe.turn)]) if probe is not None else None
        if asking is not None:
            asking.start()
        usage.start()
        server.run()
        usage.stop()
        if asking is not None:
            asking.stop()
        rotation.stop()
        chores.stop()
        retention.stop()
        watching.stop()
        self._summarize()
        checkpointer.stop()
        application.anchor_audit()

    def _external_admin(self, health: ExternalPolicyHealth | None) -> ExternalPolicyAdmin | None:
        application = self._application
        if health is None or application.external_policy is None:
            return None
        return ExternalPolicyAdmin(
            application.external_policy,
            health,
            url=application.settings.policy_url,
            keys=application.store,
            generations=application.arena,
        )

    def _http(
        self,
        readiness: Readiness,
        witness: WitnessReporter | None,
        external: ExternalPolicyHealth | None,
    ) -> BaseWSGIServer | MultiSocketServer:
        from waitress.server import create_server

        from ronkms.observe.metrics import KmsCollector
        from ronkms.server.admin_http import AdminHttp

        application = self._application
        collector = KmsCollector(
            application.arena,
            keys=application.key_counts,
            ready=lambda: not readiness.missing(),
            workers=lambda: self._board.serving_workers,
            waiting=lambda: self._board.waiting,
            places=waiting_places(application.settings) * application.settings.worker_count,
            parked=lambda: self._board.parked,
            pids=self._running,
            skew_seconds=application.clock_skew.seconds,
            sinks=application.sink_board.read,
            audit_records=lambda: application.audit.head[0],
            witness_age=witness.age_seconds if witness is not None else None,
            external_policy=external,
        )
        return create_server(
            AdminHttp(missing=readiness.missing, collector=collector),
            sockets=[self._listener],
            threads=THREADS,
            ident=SERVER_NAME,
            connection_limit=256,
            channel_timeout=10,
            cleanup_interval=5,
            max_request_header_size=16384,
            max_request_body_size=4096,
            log_socket_errors=False,
        )

    def _chores(self, operations: AdminOperations) -> list[Chore]:
        application = self._application
        ttl_seconds = application.settings.verify_cache_ttl_ms / 1000
        in_an_hour = time.monotonic() + ANCHOR_SECONDS  # the start has just done it
        follow_intents = partial(application.follow_intents, self._running)
        return [
            # First, before others make changes that an intent of the predecessor may have been about.
            Chore("audit intents", INTENTS_SECONDS, partial(operations.undisturbed, follow_intents)),
            Chore("cache sweep", ttl_seconds / 4, application.arena.cache_sweep),
            Chore("destruction", DESTROY_SECONDS, application.destroy_due),
            Chore("staged disabling", DISABLE_SECONDS, application.disable_due),
            Chore("audit summary", SUMMARY_SECONDS, self._summarize),
            Chore("audit recheck", RECHECK_SECONDS, application.audit_parts.recheck().turn),
            Chore("rollout", ROLLOUT_SECONDS, application.prepare_hybrids),
            Chore("policy exceptions", EXCEPTION_SECONDS, operations.end_expired),
            Chore("audit digest keys", DIGEST_KEY_SECONDS, application.audit_parts.keep_digest_keys),
            Chore("audit anchor", ANCHOR_SECONDS, application.anchor_audit, due=in_an_hour),
            Chore("clock", CLOCK_SECONDS, self._watch_clock),
        ]

    def _running(self) -> list[int]:
        return [*self._board.pids(), self._board.arbiter]

    def _summarize(self) -> None:
        # An unwritable log is told by readiness; the next summary counts what this one could not.
        with contextlib.suppress(AuditUnavailable):
            self._application.audit_parts.refusal_summary.write()

    def _watch_clock(self) -> None:
        skew = self._application.clock_skew.seconds()
        self._application.arena.set_gauge(GAUGE_INDEX["kms_clock_skew_seconds"], skew)
        if abs(skew) >= CLOCK_WARNING_SECONDS and not self._skew_warned:
            _log.warning("clock_skew", seconds=round(skew, 3), advice="check NTP; restart when it is fixed")
        self._skew_warned = abs(skew) >= CLOCK_WARNING_SECONDS

    def _tell(self, missing: list[str]) -> None:
        self._application.publish(
            "Health", {"ready": "no" if missing else "yes", "missing": ", ".join(missing)}
        )


def _catch_signals() -> None:
    def leave(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGQUIT, leave)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
