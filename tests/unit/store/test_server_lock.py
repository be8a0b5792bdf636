from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ronkms.errors import StartError
from ronkms.store import server_lock
from ronkms.store.server_lock import ServerLock


def test_the_lock_names_its_holder_and_is_free_after_it(tmp_path: Path) -> None:
    lock = ServerLock(tmp_path / "lock")
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    lock.close()
    ServerLock(tmp_path / "lock").close()


def test_a_living_holder_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_lock, "ORPHAN_WAIT_SECONDS", 60.0)
    lock = ServerLock(tmp_path / "lock")
    (tmp_path / "lock").write_text(f"{os.getppid()}\n")
    start = time.monotonic()
    with pytest.raises(StartError, match=f"{tmp_path}.*pid {os.getppid()}"):
        ServerLock(tmp_path / "lock")
    assert time.monotonic() - start < 30
    lock.close()


@pytest.mark.parametrize("holder", ["", "nonsense", "4194304", "own"])
def test_a_dead_holder_is_waited_for_and_then_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: str
) -> None:
    """Also one that had this process's own number, as the first process of a container always has."""
    monkeypatch.setattr(server_lock, "ORPHAN_WAIT_SECONDS", 0.2)
    lock = ServerLock(tmp_path / "lock")
    (tmp_path / "lock").write_text(holder.replace("own", str(os.getpid())))
    start = time.monotonic()
    with pytest.raises(StartError, match="in use"):
        ServerLock(tmp_path / "lock")
    assert time.monotonic() - start >= 0.2
    lock.close()
