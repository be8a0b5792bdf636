"""The policy journal and what the key store remembers of it: neither lost nor rolled back unnoticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ronkms.errors import IntegrityError, StartError
from ronkms.journal import JournalAnchor
from ronkms.policy.entry import DefaultsSet, Locked, ScopeSet
from ronkms.policy.pq import VerifyMode
from ronkms.policy.registry import Accepted, PolicyRegistry
from tests.fakes.anchors import FakeAnchors
from tests.fakes.custody import FakeCustody
from tests.fakes.generation import SharedGeneration

OR, AND, PQ_ONLY = VerifyMode


class Server:
    """One data directory over several starts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.policy = directory / "policy"
        self.anchors = FakeAnchors()
        self.accepted: list[JournalAnchor] = []
        self.on_accepted: Accepted = self.accepted.append

    def start(self, accepted_loss: int = 0) -> PolicyRegistry:
        return PolicyRegistry.open(
            self.directory,
            mac=FakeCustody().mac,
            signal=SharedGeneration().signal,
            anchors=self.anchors,
            accepted_loss=accepted_loss,
            on_accepted=self.on_accepted,
        )

    def entries(self) -> int:
        return self.anchors.anchors["policy"].seq


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def set_mode(registry: PolicyRegistry, mode: VerifyMode, key_id: str = "") -> None:
    registry.change(lambda state: ScopeSet(tenant="acme", key_id=key_id, verify_mode=mode, at=state.now()))


def lock(registry: PolicyRegistry, key_id: str = "") -> None:
    floor = registry.state.standing("acme", key_id)
    registry.change(
        lambda state: Locked(
            tenant="acme",
            key_id=key_id,
            verify_mode=floor.mode,
            classical_excluded=floor.classical_excluded,
            at=state.now(),
        )
    )


def locked_server(server: Server) -> None:
    """A tenant locked at ``and`` without classical algorithms, one of its keys, and a setting."""
    registry = server.start()
    set_mode(registry, PQ_ONLY)
    lock(registry)
    set_mode(registry, AND)
    lock(registry, "k")
    registry.change(lambda state: ScopeSet(tenant="other", rollout_percent=7, at=state.now()))
    registry.close()


def test_nothing_is_remembered_of_an_empty_journal(server: Server) -> None:
    server.start().close()
    assert server.anchors.anchors == {}
    shutil.rmtree(server.policy)
    server.start().close()


def test_every_change_is_remembered_with_the_locks_as_they_stand(server: Server) -> None:
    locked_server(server)
    lock = (
        '{"type":"lock","tenant":"acme","key_id":"%s","verify_mode":"and","classical_excluded":true,"at":0}'
    )
    assert server.anchors.anchors["policy"] == JournalAnchor(6, {"acme/": lock % "", "acme/k": lock % "k"})


def test_a_stricter_default_raises_the_remembered_locks(server: Server) -> None:
    registry = server.start()
    registry.change(lambda _: DefaultsSet(OR, False, 0, 1))
    lock(registry)
    assert '"or"' in server.anchors.anchors["policy"].keep["acme/"]
    registry.change(lambda _: DefaultsSet(PQ_ONLY, False, 0, 2))
    assert '"pq_only"' in server.anchors.anchors["policy"].keep["acme/"]
    registry.close()


@pytest.mark.parametrize("what", ["directory", "files"])
def test_a_removed_journal_stops_the_start_and_says_the_way_back(server: Server, what: str) -> None:
    locked_server(server)
    if what == "directory":
        shutil.rmtree(server.policy)
    else:
        for path in server.policy.iterdir():
            path.unlink()
    for wrong in (0, 5, 7):
        with pytest.raises(
            IntegrityError, match=r"is missing; it had 6 entries.*KMS_POLICY_ACCEPT_LOSS=6: the 2"
        ):
            server.start(wrong)
    assert not (server.policy / "policy").exists()
    assert server.accepted == []


def test_an_accepted_loss_keeps_the_locks(server: Server) -> None:
    locked_server(server)
    shutil.rmtree(server.policy)
    registry = server.start(accepted_loss=6)
    assert [anchor.seq for anchor in server.accepted] == [6]
    for key_id in ("", "k", "another"):
        assert registry.state.standing("acme", key_id).mode is AND
        assert registry.state.standing("acme", key_id).classical_excluded
    assert set(registry.state.tenant("acme").floors) == {"", "k"}
    assert registry.decide("other", "").rollout_percent == 0
    registry.close()
    assert server.entries() > 6
    # It holds for that loss alone.
    shutil.rmtree(server.policy)
    with pytest.raises(IntegrityError, match="is missing"):
        server.start(accepted_loss=6)


def test_an_older_copy_stops_the_start(server: Server, tmp_path: Path) -> None:
    locked_server(server)
    shutil.copytree(server.policy, tmp_path / "older")
    registry = server.start()
    set_mode(registry, AND, "k2")
    lock(registry, "k2")
    registry.close()
    shutil.rmtree(server.policy)
    shutil.copytree(tmp_path / "older", server.policy)
    with pytest.raises(IntegrityError, match="is an older copy, of 6 entries; it had 8"):
        server.start()
    registry = server.start(accepted_loss=8)
    assert set(registry.state.tenant("acme").floors) == {"", "k", "k2"}
    assert registry.decide("other", "").rollout_percent == 7
    assert len(server.accepted) == 1
    registry.close()
    server.start().close()


def test_the_copy_from_before_an_accepted_loss_is_older(server: Server, tmp_path: Path) -> None:
    locked_server(server)
    shutil.move(server.policy, tmp_path / "before")
    server.start(accepted_loss=6).close()
    shutil.rmtree(server.policy)
    shutil.copytree(tmp_path / "before", server.policy)
    with pytest.raises(IntegrityError, match="older copy"):
        server.start()


def test_nothing_is_made_if_the_acceptance_cannot_be_recorded(server: Server) -> None:
    locked_server(server)
    shutil.rmtree(server.policy)

    def refuse(_: JournalAnchor) -> None:
        raise StartError("no record")

    server.on_accepted = refuse
    with pytest.raises(StartError, match="no record"):
        server.start(accepted_loss=6)
    assert list(server.policy.iterdir()) == []


def test_a_crash_after_an_accepted_loss_still_restores_the_locks(server: Server) -> None:
    locked_server(server)
    shutil.rmtree(server.policy)
    server.start(accepted_loss=6).close()
    # As if the process had died before it wrote the locks: a journal that begins where the lost one ended.
    for path in server.policy.iterdir():
        path.unlink()
    kept = server.anchors.anchors["policy"].keep
    server.anchors.anchors["policy"] = JournalAnchor(6, kept)
    registry = server.start(accepted_loss=6)
    assert set(registry.state.tenant("acme").floors) == {"", "k"}
    registry.close()


def test_what_could_not_be_remembered_is_at_the_next_start(server: Server) -> None:
    registry = server.start()
    server.anchors.broken = True
    lock(registry)
    registry.close()
    assert server.anchors.anchors == {}
    server.anchors.broken = False
    server.start().close()
    assert set(server.anchors.anchors["policy"].keep) == {"acme/"}
