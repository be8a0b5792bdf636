"""Kills archiving and retention at every change that they make to the disk, and starts them again.

    run_script("tests.integration.retention_hammer", DIRECTORY)

No record that was written is lost: with the archive the whole log verifies after every kill.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ronkms_native import Custody

from ronkms.audit.retention_state import check_present
from ronkms.audit.tree_state import check_log
from ronkms.audit.verify import Anchor, verify_directory
from tests.integration.kill_points import every_point, in_child
from tests.unit.audit.retention_parts import RetainedLog


class Hammer:
    """The work that is killed, and what must hold afterwards. ``archiving``: there is an archive."""

    def __init__(self, prepared: Path, *, archiving: bool) -> None:
        self._custody, _ = Custody.create("dev", None)
        self._prepared = prepared
        self._archiving = archiving
        prepared.mkdir()
        if not in_child(self._prepare):
            raise AssertionError("killed by nobody")

    def _prepare(self) -> None:
        self._custody.relock()
        retained = RetainedLog(self._prepared, self._custody)
        (self._prepared / "audit-00000001.33.torn").write_bytes(b"torn")
        retained.fill(3)
        (self._prepared.parent / "anchor").write_text("{}:{}".format(*retained.log.head))

    def prepare(self, directory: Path) -> None:
        """A log with four segments."""
        shutil.copytree(self._prepared, directory / "audit")

    def work(self, directory: Path) -> None:
        """Copies, records, removes: until two segments are left."""
        self._custody.relock()
        retained = RetainedLog(directory / "audit", self._custody)
        check_log(retained.directory, *retained.log.head, archive=self._archive(directory))
        retained.age(31)
        retention = retained.retention(archive=self._archive(directory))
        for _ in range(3):
            if retention.turn().failed:
                raise AssertionError("a turn failed")
            retained.checkpointer.step()
        # After a kill between record and state file the same removal is recorded again: one turn more.
        retention.turn()
        if retained.numbers != [3, 4]:
            raise AssertionError(f"segments {retained.numbers} are left")

    def _archive(self, directory: Path) -> Path | None:
        return directory / "archive" if self._archiving else None

    def check(self, directory: Path) -> None:
        """After the kill, and after a second life that is not killed."""
        self._verify(directory)
        if not in_child(lambda: self.work(directory)):
            raise AssertionError("killed by nobody")
        self._verify(directory)

    def _verify(self, directory: Path) -> None:
        audit, archive = directory / "audit", self._archive(directory)
        records, leaf = (self._prepared.parent / "anchor").read_text().split(":")
        check_present(audit)
        if archive is not None and archive.is_dir():
            report = verify_directory(audit, archive=archive, anchor=Anchor(int(records), leaf))
            if report.problems or report.first_record:
                raise AssertionError(f"with the archive: {report.problems}")
        report = verify_directory(audit, anchor=Anchor(int(records), leaf))
        if report.problems:
            raise AssertionError(f"the log alone: {report.problems}")


def main() -> None:
    root = Path(sys.argv[1])
    for archiving in (True, False):
        where = root / ("archive" if archiving else "no-archive")
        where.mkdir()
        hammer = Hammer(where / "prepared", archiving=archiving)
        points = every_point(where, hammer.work, hammer.check, prepare=hammer.prepare)
        print(f"killed at {points} points in three ways")


if __name__ == "__main__":
    main()
