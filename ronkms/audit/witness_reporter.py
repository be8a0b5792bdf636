"""Brings checkpoints to the witness: a thread of the admin process that stalls nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from ronkms.audit.checkpoint_files import DIRECTORY, CheckpointFiles
from ronkms.audit.note import NoteKey
from ronkms.audit.witness_client import COSIGNED, submit
from ronkms.errors import IntegrityError, KmsError

INTERVAL_SECONDS: Final = 10.0

_log = structlog.get_logger()


class WitnessReporter:
    """``count_failure`` is called when the witness refuses the log as rolled back or forked,
    ``count_error`` at every attempt that fails."""

    def __init__(
        self,
        directory: Path,
        url: str,
        key: NoteKey,
        *,
        required: bool,
        count_failure: Callable[[], object],
        count_error: Callable[[], object],
    ) -> None:
        """``required``: a witness that does not answer makes the server not ready."""
        self._directory = directory
        self._url = url
        self._key = key
        self._required = required
        self._count_failure = count_failure
        self._count_error = count_error
        self._cosigned_at = time.monotonic() - _age_of(directory / DIRECTORY / COSIGNED)
        self._fault = ""
        self._refused = False
        self._reported = ""

    def start(self) -> None:
        """Begins; ends with the process."""
        threading.Thread(target=self._run, name="witness-reporter", daemon=True).start()

    def missing(self) -> list[str]:
        """For readiness."""
        shown = self._fault if self._required or self._refused else ""
        return [f"audit witness: {shown}"] if shown else []

    def age_seconds(self) -> float:
        """Since the newest checkpoint was known to be cosigned; since the start if none ever was."""
        return time.monotonic() - self._cosigned_at

    def report(self) -> None:
        """Submits the newest checkpoint if it was not yet; keeps and logs what goes wrong."""
        try:
            newest = CheckpointFiles(self._directory).latest()
            if newest == self._reported:
                self._cosigned_at = time.monotonic()
                return
            submit(self._directory, self._url, self._key)
        except IntegrityError as error:
            self._count_error()
            if not self._refused:
                self._count_failure()
                _log.error(
                    "audit_integrity_failed", error=str(error), advice="keep the directory as evidence"
                )
            self._refused = True
            self._fault = str(error)
        except (KmsError, OSError) as error:
            self._count_error()
            if not self._fault:
                _log.warning("audit_witness_unavailable", error=str(error))
            self._fault = str(error)
        else:
            self._reported = newest
            self._cosigned_at = time.monotonic()
            self._fault = ""

    def _run(self) -> None:
        pause = threading.Event()
        while not self._refused:
            self.report()
            pause.wait(INTERVAL_SECONDS)


def _age_of(file: Path) -> float:
    """Seconds since it was written; 0 if there is none."""
    try:
        return max(time.time() - file.stat().st_mtime, 0.0)
    except OSError:
        return 0.0
