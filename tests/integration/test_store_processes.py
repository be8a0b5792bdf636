"""Several processes on one directory, as workers are: nothing is lost, doubled or seen too late."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ronkms.domain.key import KeyState
from ronkms.errors import Conflict, KeyDisabled, KmsError
from tests.fakes.open_store import OpenStore


def in_child(opened: OpenStore, work: Callable[[], None]) -> int:
    """Forks a worker that does ``work``; its exit status is 0 if that raises nothing."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            opened.store.after_fork()
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def assert_ended_well(pids: list[int]) -> None:
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * len(pids)


def test_concurrent_rotations_give_every_number_once(tmp_path: Path) -> None:
    opened = OpenStore(tmp_path / "keystore")
    opened.create("orders")

    def rotate() -> None:
        for _ in range(15):
            opened.rotate("orders")

    assert_ended_well([in_child(opened, rotate) for _ in range(4)])
    opened.store.refresh()
    assert list(opened.store.get("acme", "orders").versions) == list(range(1, 62))
    opened.close()
    again = OpenStore(tmp_path / "keystore")
    again.close()
    assert again.store.damaged() == []
    assert len(again.store.get("acme", "orders").versions) == 61
    assert list((tmp_path / "keystore" / "quarantine").iterdir()) == []


def test_one_of_many_creates_a_key(tmp_path: Path) -> None:
    opened = OpenStore(tmp_path / "keystore")
    read_end, write_end = os.pipe()

    def create() -> None:
        for number in range(10):
            with contextlib.suppress(Conflict):
                opened.create(f"k{number}")
                os.write(write_end, b"%d" % number)

    assert_ended_well([in_child(opened, create) for _ in range(4)])
    os.close(write_end)
    with os.fdopen(read_end, "rb") as created:
        assert sorted(created.read()) == sorted(b"0123456789")
    opened.store.refresh()
    assert len(opened.store.page("acme")) == 10
    opened.close()


def test_a_change_is_seen_after_it_was_acknowledged(tmp_path: Path) -> None:
    """The child learns through a pipe that the parent's call returned, refreshes once, and sees it."""
    opened = OpenStore(tmp_path / "keystore")
    opened.create("orders")
    to_child, from_parent = os.pipe()
    to_parent, from_child = os.pipe()

    def watch() -> None:
        for _ in range(30):
            number = int.from_bytes(os.read(to_child, 1), "big")
            opened.store.refresh()
            key = opened.store.get("acme", "orders")
            assert len(key.versions) == number
            assert key.versions[number - 1].state is KeyState.DISABLED
            assert opened.retired[-1][0] == "file"
            os.write(from_child, b"k")

    pid = in_child(opened, watch)
    for number in range(2, 32):
        opened.rotate("orders")
        opened.store.set_state("acme", "orders", KeyState.DISABLED, version=number - 1)
        os.write(from_parent, bytes([number]))
        assert os.read(to_parent, 1) == b"k"
    assert_ended_well([pid])
    opened.close()
    for descriptor in (to_child, from_parent, to_parent, from_child):
        os.close(descriptor)


def test_threads_of_one_process_share_a_store(tmp_path: Path) -> None:
    """Readers take no lock while three writers rotate, disable and create."""
    opened = OpenStore(tmp_path / "keystore")
    opened.create("orders")
    stop = threading.Event()
    failures: list[Exception] = []

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except (AssertionError, KmsError, RuntimeError, KeyError) as error:
                failures.append(error)

        return run

    def read() -> None:
        seen = 0
        while not stop.is_set():
            opened.store.refresh()
            key = opened.store.get("acme", "orders")
            assert key.epoch >= seen
            seen = key.epoch
            assert opened.store.record("acme", "orders", len(key.versions))
            assert sum(opened.store.count().values()) >= 1
            assert opened.store.page("acme", limit=5)

    def rotate() -> None:
        for _ in range(20):
            with contextlib.suppress(KeyDisabled):
                opened.rotate("orders")

    def toggle() -> None:
        for _ in range(20):
            for state in (KeyState.DISABLED, KeyState.ENABLED):
                opened.store.set_state("acme", "orders", state)

    def create() -> None:
        for number in range(20):
            opened.create(f"k{number}")

    readers = [threading.Thread(target=guarded(read)) for _ in range(2)]
    writers = [threading.Thread(target=guarded(work)) for work in (rotate, toggle, create)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert failures == []
    opened.close()


def create_and_rotate(opened: OpenStore, prefix: str, acknowledge: int) -> None:
    """Until it is killed; a line in the pipe for each call that returned."""
    for step in itertools.count():
        key_id = f"{prefix}-{step}"
        opened.create(key_id)
        os.write(acknowledge, f"{key_id} 1\n".encode())
        opened.rotate(key_id)
        os.write(acknowledge, f"{key_id} 2\n".encode())


def test_every_acknowledged_key_survives_kills(tmp_path: Path) -> None:
    """Rounds of two workers, both killed at a random moment after a few answers; then a restart."""
    keystore = tmp_path / "keystore"
    acknowledged: set[tuple[str, int]] = set()
    rng = random.Random(7)
    for round_number in range(15):
        opened = OpenStore(keystore)
        read_end, write_end = os.pipe()
        pids = [
            in_child(opened, partial(create_and_rotate, opened, f"r{round_number}-w{worker}", write_end))
            for worker in range(2)
        ]
        os.close(write_end)
        with os.fdopen(read_end) as answers:
            lines = [answers.readline() for _ in range(rng.randint(1, 8))]
            time.sleep(rng.uniform(0, 0.003))
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            for pid in pids:
                os.waitpid(pid, 0)
            lines += answers.readlines()
        acknowledged |= {(key_id, int(number)) for key_id, number in (line.split() for line in lines)}
        opened.close()

        again = OpenStore(keystore)
        again.close()
        assert again.store.damaged() == []
        for key_id, number in acknowledged:
            assert again.store.record("acme", key_id, number)
    assert len(acknowledged) >= 15
