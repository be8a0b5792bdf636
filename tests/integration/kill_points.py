"""Kills a process at its Nth change of the disk: before it, in the middle of a write, or after it.

:func:`every_point` runs a piece of work in forked children of the calling process, each killed one point
later than the one before, until one gets through; what each child left is handed to ``check``.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

CHANGES: Final = ("fsync", "ftruncate", "mkdir", "pwrite", "rename", "replace", "unlink")
"""Functions of :mod:`os` that change what the disk holds, or promise that it does."""
MODES: Final = ("before", "half", "after")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: int, mode: str) -> None:
    """From now on the change number ``point`` (from 0) is this process's last."""
    turn = count()

    def wrapped(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def change(*args: Any, **options: Any) -> Any:
            if next(turn) != point:
                return original(*args, **options)
            if mode == "half" and name == "pwrite":
                descriptor, data, offset = args
                original(descriptor, bytes(data)[: len(data) // 2], offset)
            elif mode == "after":
                original(*args, **options)
            _die()
            raise AssertionError("unreachable")

        return change

    for name in CHANGES:
        setattr(os, name, wrapped(name, getattr(os, name)))


def in_child(work: Callable[[], object]) -> bool:
    """Runs ``work`` in a fork. True if it got through, False if it was killed. Raises AssertionError."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001  # the last frame of a process
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code in (0, -signal.SIGKILL):
        return code == 0
    raise AssertionError(f"the child ended with {code}")


def _killed(work: Callable[[Path], object], directory: Path, point: int, mode: str) -> None:
    arm(point, mode)
    work(directory)


def every_point(
    root: Path,
    work: Callable[[Path], object],
    check: Callable[[Path], object],
    *,
    prepare: Callable[[Path], object] = lambda _: None,
    limit: int = 2000,
) -> int:
    """How many points there are.

    Each time ``work`` gets a directory that ``prepare`` has filled, ``check`` the same one after the kill."""
    for point in range(limit):
        through = True
        for mode in MODES:
            directory = root / f"{point:04}-{mode}"
            directory.mkdir()
            prepare(directory)

            through = in_child(partial(_killed, work, directory, point, mode)) and through
            try:
                check(directory)
            except BaseException as error:
                raise AssertionError(f"killed {mode} change {point}: {error}") from error
        if through:
            return point
    raise AssertionError(f"more than {limit} points")
