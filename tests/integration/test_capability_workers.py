"""Capabilities over several workers, restarts and damage on disk."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from ronkms.capability.registry import CapabilityRegistry
from ronkms.capability.state import Revoked, RootAdded
from ronkms.errors import IntegrityError
from tests.eventually import eventually
from tests.fakes.custody import FakeCustody
from tests.fakes.generation import SharedGeneration
from tests.integration.raw_http import RawConnection
from tests.server_process import ServerProcess

SIGN = json.dumps({"key_id": "k", "message": ""}).encode()


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


def test_a_revocation_holds_from_its_return_in_every_warm_worker(tmp_path: Path) -> None:
    """Clients sign with one token over connections to all four workers, whose engines know token and key. No
    request that is sent after ``ronctl cap revoke`` has returned is answered but with 401."""
    patient = {"KMS_KEEPALIVE_MS": "4900", "KMS_QUEUE_DEADLINE_MS": "60000"}
    with ServerProcess(tmp_path / "data", {"KMS_WORKERS": "4"} | patient) as server:
        create = {"key_id": "k", "alg": "Ed25519", "usage": "sign"}
        authorization = {"Authorization": f"Bearer {server.token}"}
        made = httpx.post(f"{server.api_url}/v1/kms/keys", json=create, headers=authorization, timeout=30)
        assert made.status_code == 201
        for by_block in (False, True):
            parent = server.mint(op=["sign"])
            token = server.ronctl("cap", "attenuate", parent, "--key", "k").stdout.strip()
            revoked = token if by_block else parent
            clients = connections_to_all_workers(server, token)
            returned = threading.Event()
            with ThreadPoolExecutor(len(clients)) as pool:
                runs = [pool.submit(sign_until, client, token, returned) for client in clients]
                time.sleep(0.3)
                try:
                    server.ronctl("cap", "revoke", revoked)
                finally:
                    returned.set()
                for run in runs:
                    before, after = run.result()
                    assert 200 in before, "it was in use when it was revoked"
                    assert set(before) <= {200, 401}
                    assert after == [401] * 5
            for client in clients:
                client.close()


def sign_until(client: RawConnection, token: str, returned: threading.Event) -> tuple[list[int], list[int]]:
    """Statuses of requests that were begun before and after the revocation returned."""
    before = []
    while not returned.is_set():
        before.append(client.request("POST", "/v1/kms/sign", token, SIGN).status)
    return before, [client.request("POST", "/v1/kms/sign", token, SIGN).status for _ in range(5)]


def connections_to_all_workers(server: ServerProcess, token: str) -> list[RawConnection]:
    """At least one for each worker, warm: each has signed often enough to teach its worker token and key."""

    def warm(client: RawConnection) -> None:
        for _ in range(4):
            assert client.request("POST", "/v1/kms/sign", token, SIGN).status == 200

    kept: dict[int, RawConnection] = {}
    for _ in range(20):
        # Many at once, so that no worker is idle enough to take them all.
        clients = [RawConnection(server.api_url, timeout=30) for _ in range(16)]
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(warm, [*kept.values(), *clients]))
        workers = owners(server)
        for client in clients:
            # The kernel's list is no snapshot: a row may be missing.
            worker = workers.get(client.sock.getsockname()[1])
            if worker is None or kept.setdefault(worker, client) is not client:
                client.close()
        if len(kept) == 4:
            return list(kept.values())
    raise AssertionError(f"connections went to {len(kept)} workers only")


def owners(server: ServerProcess) -> dict[int, int]:
    """The process that holds the other end of a connection, by the client's port."""
    holders = {}
    for pid in server.children():
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                holders[str(link.readlink())] = pid
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    mine = [(row[2], holders[f"socket:[{row[9]}]"]) for row in rows if f"socket:[{row[9]}]" in holders]
    return {int(remote.rpartition(":")[2], 16): pid for remote, pid in mine}


def test_tokens_in_use_outlive_the_rotation_of_their_root(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", {"KMS_WORKERS": "2"}) as server:
        token = server.mint(op=["read"])
        assert statuses(server, token, 8) == {200}
        server.ronctl("cap", "rotate", "--overlap", "1h")
        assert statuses(server, token, 8) == {200}
        server.ronctl("cap", "rotate", "--overlap", "1s")
        time.sleep(1.1)
        assert statuses(server, token, 8) == {401}


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
        eventually(lambda: server.ronctl("status", check=False).returncode == 0)
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
    assert reader.state.first_revoked(("ab" * 16, "cd" * 16)) == 1
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
