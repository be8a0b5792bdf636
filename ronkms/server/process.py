"""What every process of the server does to itself."""

from __future__ import annotations

import ctypes
import gc
import os
import signal

from ronkms_native import harden_process

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def harden() -> None:
    """No core dumps, no reading of its memory by others."""
    harden_process()


def begin_child(parent: int) -> None:
    """First thing after a fork: the child ends with its parent, and is hardened.

    Without the arbiter nobody would give back what a dead worker held, or stop it.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    harden()
    gc.enable()


def freeze_before_fork() -> None:
    """Keeps the collector from touching, and so copying, what children share with the parent."""
    gc.disable()
    gc.freeze()
