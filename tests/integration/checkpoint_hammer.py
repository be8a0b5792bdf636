"""Kills the checkpointer at every change that it makes to the disk, and starts it again.

    run_script("tests.integration.checkpoint_hammer", DIRECTORY)

Every note that was ever signed, published or not, must be of one and the same tree.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ronkms_native import AuditLog, Custody

from ronkms.audit.checkpoint_files import CheckpointFiles
from ronkms.audit.checkpointer import Checkpointer
from ronkms.audit.log_keys import LogSigner
from ronkms.audit.note import Note
from ronkms.audit.tree_state import check_log
from ronkms.audit.verify import verify_directory
from ronkms.audit.verify_checkpoints import KeptNote
from tests.fakes.api import make_arena
from tests.integration.kill_points import every_point, in_child

SEGMENT_BYTES = 4096
SIGNED = "signed"


class Remembering(LogSigner):
    """Tells everything that it signed to a file that is no part of the log."""

    def __init__(self, directory: Path, custody: Custody) -> None:
        super().__init__(directory / "audit", custody)
        self._told = directory / SIGNED

    def sign(self, size: int, root: bytes) -> Note:
        note = super().sign(size, root)
        with self._told.open("a", encoding="utf-8") as file:
            file.write(str(note) + "\0")
        return note


class Hammer:
    """The work that is killed, and what must hold afterwards."""

    def __init__(self) -> None:
        self._custody, _ = Custody.create("dev", None)
        self.notes = 0

    def server(self, directory: Path) -> None:
        """What a server does to the tree in its life, from the start to the stop."""
        self._custody.relock()
        audit = directory / "audit"
        log = AuditLog.open(make_arena(), str(audit), SEGMENT_BYTES)
        check_log(audit, *log.head)
        checkpointer = Checkpointer(
            audit,
            log=log,
            signer=Remembering(directory, self._custody),
            wanted=lambda: 0,
            announce=lambda: None,
            count_failure=lambda: None,
        )
        for turn in range(3):
            for _ in range(11):
                seq = log.append(b'"v":1,"op":"sign","outcome":"ok","tenant":"acme"}')
            log.wait_durable(seq)
            checkpointer.step(history=turn == 1)
        checkpointer.rotate_keys()
        log.append(b'"v":1,"op":"sign","outcome":"ok","tenant":"acme"}')
        checkpointer.stop()

    def check(self, directory: Path) -> None:
        """A second life goes on where the first was killed."""
        if not in_child(lambda: self.server(directory)):
            raise AssertionError("killed by nobody")
        signed = (directory / SIGNED).read_text("utf-8").split("\0")[:-1]
        kept = [KeptNote(f"note {number}", note) for number, note in enumerate(signed)]
        report = verify_directory(directory / "audit", kept=kept)
        if report.problems:
            raise AssertionError("; ".join(map(str, report.problems)))
        stored = CheckpointFiles(directory / "audit").latest()
        if stored != signed[-1]:
            raise AssertionError("the newest checkpoint is not the last one that was signed")
        self.notes += len(signed)


def main() -> None:
    hammer = Hammer()
    points = every_point(Path(sys.argv[1]), hammer.server, hammer.check)
    print(f"killed at {points} points in three ways, {hammer.notes} notes of one tree each")


if __name__ == "__main__":
    main()
