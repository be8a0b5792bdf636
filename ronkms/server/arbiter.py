"""The arbiter: gunicorn's, which also supervises the attendants and knows slots, readiness and drains.

It forks, reaps and announces; it serves nothing and starts no thread. A worker that dies before the server
was ready stops the start; afterwards it is replaced. SIGTERM and SIGINT drain, a second one or SIGQUIT quits
at once. SIGHUP, SIGTTIN, SIGTTOU and SIGUSR2 change nothing: sizes are fixed at the start.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import structlog
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.systemd import sd_notify
from gunicorn.workers.base import Worker

from ronkms.domain.measure import COUNTER_INDEX
from ronkms.errors import KmsError
from ronkms.server.attendant import Attendant
from ronkms.server.board import Stage
from ronkms.server.gunicorn_application import KmsServer
from ronkms.server.process import begin_child, freeze_before_fork
from ronkms.server.worker import KmsWorker

STARTING_POLL: Final = 0.01
RUNNING_POLL: Final = 1.0
RESPAWN_PAUSE: Final = 0.5
"""Between the death of a process that lived shorter than ``RESPAWN_YOUNG`` and its successor."""
RESPAWN_YOUNG: Final = 2.0
ATTENDANT_STOP_SECONDS: Final = 2.0
QUICK_STOP_SECONDS: Final = 2.0

_CRASHED: Final = COUNTER_INDEX["service_crashed_total"]
_STOP_SIGNALS: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGQUIT})

_log = structlog.get_logger()


class KmsArbiter(Arbiter):
    """``attendants`` are started and stopped in their order; ``on_ready`` runs once, here."""

    app: KmsServer

    def __init__(
        self, app: KmsServer, *, attendants: Sequence[Attendant], on_ready: Callable[[], None]
    ) -> None:
        self._application = app.application
        self._board = app.board
        self._attendants = tuple(attendants)
        self._on_ready = on_ready
        self._announced = False
        self._told_to_stop: set[int] = set()
        self._born: dict[int, float] = {}
        self._not_before = 0.0
        super().__init__(app)
        self.cfg.set("pre_fork", self._before_worker)
        self.cfg.set("post_fork", self._in_worker)
        self.cfg.set("post_worker_init", self._worker_serves)

    # --- starting ------------------------------------------------------------------------------

    def start(self) -> None:
        """gunicorn would tell systemd that it is ready here, long before a worker is."""
        notify_socket = os.environ.pop("NOTIFY_SOCKET", None)
        super().start()
        if notify_socket is not None:
            os.environ["NOTIFY_SOCKET"] = notify_socket

    def wait_for_signals(self, timeout: float | None = 1.0) -> list[int]:
        """Short waits until the server is ready, and no longer than until a successor is due."""
        if not self._announced:
            return super().wait_for_signals(STARTING_POLL)
        until_respawn = self._not_before - time.monotonic()
        return super().wait_for_signals(until_respawn if 0 < until_respawn < RUNNING_POLL else RUNNING_POLL)

    def manage_workers(self) -> None:
        """Called in every turn of the main loop."""
        if time.monotonic() >= self._not_before:
            for attendant in self._attendants:
                if not attendant.pid:
                    self._spawn_attendant(attendant)
            super().manage_workers()
        if not self._announced and self._board.ready:
            self._announced = True
            self._on_ready()
            self._notify("READY=1\nSTATUS=serving")
        if self._announced:
            # The turns of the start are too short: they would fill the manager's queue, and block here.
            self._notify("WATCHDOG=1")

    def spawn_workers(self) -> None:
        """gunicorn's pause between forks is for applications that load in the worker."""
        for _ in range(self.num_workers - len(self.WORKERS)):
            self.spawn_worker()

    def _before_worker(self, _arbiter: Arbiter, worker: Worker) -> None:
        mine = cast(KmsWorker, worker)
        mine.slot = self._application.arena.claim_slot()
        mine.row = self._board.free_row()
        self._board.set(mine.row, 0, Stage.BOOTING)
        freeze_before_fork()

    def _in_worker(self, _arbiter: Arbiter, worker: Worker) -> None:
        mine = cast(KmsWorker, worker)
        self._board.set(mine.row, os.getpid(), Stage.BOOTING)
        self._begin(mine.slot, "worker")

    def _worker_serves(self, worker: Worker) -> None:
        self._board.advance(cast(KmsWorker, worker).row, Stage.SERVING)

    def _begin(self, slot: int, role: str) -> None:
        """In a child. A failure is one line and the exit status that stops the start."""
        try:
            begin_child(self.pid)
            self._application.arena.enter_slot(slot)
            self._application.after_fork(role)
        except KmsError as error:
            sys.stderr.write(f"error: {error}\n")
            sys.stderr.flush()
            sys.exit(self.WORKER_BOOT_ERROR)

    def spawn_worker(self) -> int:
        """Remembers when it was born."""
        pid = super().spawn_worker()
        self._born[pid] = time.monotonic()
        return pid

    def _spawn_attendant(self, attendant: Attendant) -> None:
        slot = self._application.arena.claim_slot()
        self._board.set(attendant.row, 0, Stage.BOOTING)
        freeze_before_fork()
        pid = os.fork()
        if pid:
            attendant.pid = pid
            attendant.slot = slot
            self._born[pid] = time.monotonic()
            return
        status = 1
        try:
            self._board.set(attendant.row, os.getpid(), Stage.BOOTING)
            for listener in self.LISTENERS:
                listener.close()
            for worker in self.WORKERS.values():
                worker.tmp.close()
            self._begin(slot, attendant.role)
            attendant.run()
            status = 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        except Exception:  # noqa: BLE001  # the last frame of a process: logged, and its status tells
            _log.exception("attendant_failed", role=attendant.role)
        finally:
            # The child must not run the arbiter's own exit handlers.
            sys.stderr.flush()
            os._exit(status)

    # --- deaths ----------------------------------------------------------------------------------

    def reap_workers(self) -> None:
        """Every child that ended: gives back what it held, and counts it if nobody had asked it to end."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            attendant = next((one for one in self._attendants if one.pid == pid), None)
            if attendant is not None:
                attendant.pid = 0
                self._bury(pid, status, attendant.slot, attendant.row, attendant.role)
            elif (worker := self.WORKERS.pop(pid, None)) is not None:
                worker.tmp.close()
                mine = cast(KmsWorker, worker)
                self._bury(pid, status, mine.slot, mine.row, "worker")

    def _bury(self, pid: int, status: int, slot: int, row: int, role: str) -> None:
        permits = self._application.arena.reclaim_slot(slot)
        self._board.clear(row)
        age = time.monotonic() - self._born.pop(pid, 0.0)
        code = os.waitstatus_to_exitcode(status)
        if pid in self._told_to_stop or (self._board.draining and code == 0):
            self._told_to_stop.discard(pid)
            return
        ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
        if not self._announced:
            raise HaltServer(f"the {role} process did not start ({ended})", 1)
        self._application.arena.count(_CRASHED)
        _log.error("ServiceCrashed", role=role, pid=pid, ended=ended, permits_reclaimed=permits)
        self._application.publish("ServiceCrashed", {"role": role, "pid": pid, "ended": ended})
        if age < RESPAWN_YOUNG:
            self._not_before = time.monotonic() + RESPAWN_PAUSE

    def kill_worker(self, pid: int, sig: int) -> None:
        """A worker that was told to end does not count as crashed; one that hangs (SIGABRT) does."""
        if sig in (signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL) and self._board.draining:
            self._told_to_stop.add(pid)
        super().kill_worker(pid, sig)

    # --- stopping --------------------------------------------------------------------------------

    def handle_int(self) -> None:
        """SIGINT drains as SIGTERM does."""
        self.handle_term()

    def handle_hup(self) -> None:
        """Configuration is read at the start; certificates are followed by themselves."""
        _log.warning("signal_ignored", signal="SIGHUP", advice="restart to apply a changed configuration")

    def handle_ttin(self) -> None:
        """The arena has a fixed number of slots."""
        _log.warning("signal_ignored", signal="SIGTTIN", advice="set workers and restart")

    def handle_ttou(self) -> None:
        """See :meth:`handle_ttin`."""
        _log.warning("signal_ignored", signal="SIGTTOU", advice="set workers and restart")

    def handle_usr2(self) -> None:
        """Two servers on one data directory are refused."""
        _log.warning("signal_ignored", signal="SIGUSR2", advice="restart to upgrade")

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """Stops everything and leaves with ``exit_status``."""
        if reason is not None:
            sys.stderr.write(f"error: {reason}\n")
            sys.stderr.flush()
        self.stop(graceful=exit_status == 0)
        sys.exit(exit_status)

    def stop(self, graceful: bool = True) -> None:
        """Workers first, so that health and metrics answer while they drain; then the attendants."""
        self._board.drain()
        self._notify("STOPPING=1\nSTATUS=draining")
        _log.info("draining", workers=len(self.WORKERS))
        for listener in self.LISTENERS:
            listener.close()
        self.LISTENERS.clear()
        self._stop_workers(graceful)
        self._application.publish("Shutdown", {"clean": "yes" if not self.WORKERS else "no"})
        for attendant in self._attendants:
            self._stop_attendant(attendant)
        _log.info("stopped")

    def _stop_workers(self, graceful: bool) -> None:
        deadline = time.monotonic() + (self.cfg.graceful_timeout + 1 if graceful else QUICK_STOP_SECONDS)
        self.kill_workers(signal.SIGTERM if graceful else signal.SIGQUIT)
        while self.WORKERS and time.monotonic() < deadline:
            if _STOP_SIGNALS.intersection(super().wait_for_signals(timeout=0.1)) and graceful:
                graceful = False
                _log.warning("quitting", workers=len(self.WORKERS))
                self.kill_workers(signal.SIGQUIT)
                deadline = time.monotonic() + QUICK_STOP_SECONDS
            self.reap_workers()
        self.kill_workers(signal.SIGKILL)
        while self.WORKERS:
            self.reap_workers()
            time.sleep(0.01)

    def _stop_attendant(self, attendant: Attendant) -> None:
        deadline = time.monotonic() + ATTENDANT_STOP_SECONDS
        sig = signal.SIGQUIT
        while attendant.pid:
            self._told_to_stop.add(attendant.pid)
            os.kill(attendant.pid, sig)
            while attendant.pid and time.monotonic() < deadline:
                time.sleep(0.01)
                self.reap_workers()
            sig = signal.SIGKILL
            deadline = time.monotonic() + ATTENDANT_STOP_SECONDS

    def _notify(self, state: str) -> None:
        sd_notify(state, cast(Any, self.log))
