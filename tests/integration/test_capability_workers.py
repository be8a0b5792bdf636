"""Capabilities over several workers, restarts and damage on disk."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from ronkms.capability.registry import CapabilityRegistry
from ronkms.capability.state import Revoked, RootAdded
from ronkms.errors import IntegrityError
from tests.fakes.custody import FakeCustody
from tests.fakes.generation import SharedGeneration
from tests.server_process import ServerProcess


def statuses(server: ServerProcess, token: str, count: int) -> set[int]:
    """Status of ``count`` reads, each on a new connection, so that all workers get some."""
    headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
    return {httpx.get(f"{server.api_url}/v1/kms/keys", headers=headers).status_code for _ in range(count)}


def test_revocation_is_seen_by_every_worker_at_once(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", {"KMS_WORKERS": "4", "KMS_THREADS": "1"}) as server:
        for _ in range(5):
            token = server.mint(op=["read"])
            assert statuses(server, token, 24) == {200}
            server.ronctl("cap", "revoke", token)
            assert statuses(server, token, 24) == {401}


def test_revocations_and_roots_survive_kill_and_restart(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        good, revoked = server.mint(op=["read"]), server.mint(op=["read"])
        server.ronctl("cap", "revoke", revoked)
        server.kill()
        server.start()
        assert statuses(server, good, 2) == {200}
        assert statuses(server, revoked, 2) == {401}


def test_the_socket_comes_back_with_its_process(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        before = server.mint(op=["read"])
        children = server.children()
        admin = next(pid for pid in children if holds_socket(pid, server.data_dir / "admin.sock"))
        os.kill(admin, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while server.ronctl("status", check=False).returncode != 0:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert statuses(server, before, 2) == {200}
        assert statuses(server, server.mint(op=["read"]), 2) == {200}


def holds_socket(pid: int, path: Path) -> bool:
    """True if the process listens on the Unix socket at ``path``."""
    sockets = Path("/proc/net/unix").read_text().splitlines()
    inodes = {line.split()[6] for line in sockets if line.endswith(f" {path}")}
    links = (link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir())
    return any(link.removeprefix("socket:[").removesuffix("]") in inodes for link in links)


def test_expires_on_time(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        token = server.mint(op=["read"], ttl="2s")
        assert statuses(server, token, 1) == {200}
        time.sleep(2.1)
        assert statuses(server, token, 4) == {401}


@pytest.mark.parametrize("file", ["roots", "roots.head"])
def test_a_rolled_back_journal_is_found(tmp_path: Path, file: str) -> None:
    directory = tmp_path / "capability"
    custody, generation = FakeCustody(), SharedGeneration()
    registry = CapabilityRegistry.open(tmp_path, mac=custody.mac, signal=generation.signal)
    registry.append(RootAdded(1, b"p" * 32, b"sealed", 1))
    older = (directory / file).read_bytes()
    registry.append(Revoked("ab" * 16, 1, 2))
    registry.close()
    again = CapabilityRegistry.open(tmp_path, mac=custody.mac, signal=generation.signal)
    assert set(again.state.revoked) == {"ab" * 16}
    again.close()
    (directory / file).write_bytes(older)
    registry_of_next_entry(tmp_path, custody, generation, file)


def registry_of_next_entry(
    tmp_path: Path, custody: FakeCustody, generation: SharedGeneration, file: str
) -> None:
    """A journal that is behind its head is refused. A head that is one behind is what a crash can leave: then
    the revocation is still in force."""
    if file == "roots":
        with pytest.raises(IntegrityError, match="rolled back"):
            CapabilityRegistry.open(tmp_path, mac=custody.mac, signal=generation.signal)
    else:
        opened = CapabilityRegistry.open(tmp_path, mac=custody.mac, signal=generation.signal)
        assert set(opened.state.revoked) == {"ab" * 16}
        opened.close()


def test_an_entry_that_cannot_follow_is_never_written(tmp_path: Path) -> None:
    custody, generation = FakeCustody(), SharedGeneration()
    registry = CapabilityRegistry.open(tmp_path, mac=custody.mac, signal=generation.signal)
    registry.append(RootAdded(1, b"p" * 32, b"sealed", 1))
    with pytest.raises(IntegrityError):
        registry.append(RootAdded(1, b"q" * 32, b"sealed", 2))
    registry.close()
    again = CapabilityRegistry.open(tmp_path, mac=custody.mac, signal=generation.signal)
    assert again.state.roots[1].public == b"p" * 32
    again.close()


def test_another_process_replays(tmp_path: Path) -> None:
    custody, generation = FakeCustody(), SharedGeneration()
    writer = CapabilityRegistry.open(tmp_path, mac=custody.mac, signal=generation.signal)
    reader = CapabilityRegistry.open(tmp_path, mac=custody.mac, signal=generation.signal)
    writer.append(RootAdded(1, b"p" * 32, b"sealed", 1))
    reader.refresh()
    revision = reader.state.revision
    reader.refresh()
    assert (set(reader.state.roots), reader.state.revision) == ({1}, revision)
    writer.append(Revoked("cd" * 16, 1, 2))
    reader.refresh()
    assert reader.state.is_revoked(("cd" * 16,))
    writer.close()
    reader.close()


def test_compaction_keeps_what_counts(tmp_path: Path) -> None:
    custody, generation = FakeCustody(), SharedGeneration()
    registry = CapabilityRegistry.open(tmp_path, mac=custody.mac, signal=generation.signal)
    registry.append(RootAdded(1, b"p" * 32, b"sealed", 1))
    for number in range(40):
        registry.append(Revoked(f"{number:032x}", 1, 2))
    registry.close()
    again = CapabilityRegistry.open(tmp_path, mac=custody.mac, signal=generation.signal)
    rebuilt = type(again.state)()
    for seq, entry in enumerate(again.state.live_entries(), start=1):
        rebuilt.apply(seq, entry)
    assert (rebuilt.roots, rebuilt.revoked, rebuilt.newest) == (again.state.roots, again.state.revoked, 1)
    assert again.state.live_count() == len(again.state.live_entries()) == 41
    again.close()
