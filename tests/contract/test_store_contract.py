"""What every store of keys must do (``store.protocol.KeyStore``), one suite for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from ronkms_native import Custody

from ronkms.domain.algorithm import Usage
from ronkms.domain.key import Key, KeyState, Origin, record_identity
from ronkms.domain.key_policy import KeyPolicy, PolicyChange
from ronkms.errors import BadRequest, Conflict, KeyDisabled, KeyExhausted, NotFound
from ronkms.store.protocol import KeyStore, Seal
from tests.fakes.custody import FakeCustody
from tests.fakes.open_store import OpenStore

ENABLED, DISABLED = KeyState.ENABLED, KeyState.DISABLED
SCHEDULED, DESTROYED = KeyState.DESTROY_SCHEDULED, KeyState.DESTROYED

OpenAgain = Callable[[], KeyStore]


class Suite:
    """One store, and the way to open it again as after a restart."""

    def __init__(self, open_again: OpenAgain, generate: Callable[[str, bytes], tuple[bytes, bytes]]) -> None:
        self.open_again = open_again
        self.generate = generate
        self.store = open_again()
        self.identities: list[bytes] = []

    def restart(self) -> None:
        self.store.close()
        self.store = self.open_again()

    def seal(self, alg: str) -> Seal:
        def make(identity: bytes) -> tuple[bytes, bytes]:
            self.identities.append(identity)
            return self.generate(alg, identity)

        return make

    def create(self, key_id: str = "orders", tenant: str = "acme", alg: str = "Ed25519") -> Key:
        return self.store.create(
            tenant=tenant,
            key_id=key_id,
            alg=alg,
            backend="file",
            labels={"team": "billing"},
            policy=KeyPolicy(mu=True),
            origin=Origin.GENERATED,
            seal=self.seal(alg),
        )

    def rotate(self, key_id: str = "orders", alg: str = "Ed25519", origin: Origin = Origin.GENERATED) -> Key:
        return self.store.add_version("acme", key_id, alg=alg, origin=origin, seal=self.seal(alg))


@pytest.fixture(params=["file", "file with native custody"])
def suite(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Suite]:
    custody = FakeCustody() if request.param == "file" else Custody.create("dev", None)[0]
    suite = Suite(lambda: OpenStore(tmp_path / "keystore", custody=custody).store, custody.generate)
    yield suite
    suite.store.close()


def test_a_created_key_is_what_was_asked_for(suite: Suite) -> None:
    key = suite.create()
    assert (key.tenant, key.key_id, key.alg, key.usage) == ("acme", "orders", "Ed25519", Usage.SIGN)
    assert (key.backend, key.state, dict(key.labels), key.policy) == (
        "file",
        ENABLED,
        {"team": "billing"},
        KeyPolicy(mu=True),
    )
    version = key.newest_enabled()
    assert (version.number, version.alg, version.state, version.origin) == (
        1,
        "Ed25519",
        ENABLED,
        Origin.GENERATED,
    )
    assert version.created_at == key.created_at > 1_700_000_000
    assert suite.identities == [record_identity("acme", "orders", 1, "Ed25519")]
    assert suite.store.get("acme", "orders") == key


def test_the_record_is_the_one_that_was_sealed(suite: Suite) -> None:
    key = suite.create()
    record = suite.store.record("acme", "orders", 1)
    assert sha256(record).digest() == key.versions[1].record_digest


def test_everything_is_there_after_a_restart(suite: Suite) -> None:
    suite.create()
    suite.rotate(origin=Origin.IMPORTED)
    suite.create("mail", alg="AES-256-GCM")
    suite.store.set_state("acme", "orders", DISABLED, version=1)
    suite.store.set_state("acme", "mail", SCHEDULED, destroy_at=2_000_000_000)
    before = suite.store.page("acme")
    records = [suite.store.record("acme", "orders", number) for number in (1, 2)]
    suite.restart()
    assert suite.store.page("acme") == before
    assert [suite.store.record("acme", "orders", number) for number in (1, 2)] == records
    assert suite.store.due_for_destruction(2_000_000_000) == [("acme", "mail", None)]


@pytest.mark.parametrize("state", [ENABLED, DISABLED, DESTROYED])
def test_a_key_id_is_taken_for_good(suite: Suite, state: KeyState) -> None:
    suite.create()
    if state is DISABLED:
        suite.store.set_state("acme", "orders", DISABLED)
    if state is DESTROYED:
        suite.store.set_state("acme", "orders", SCHEDULED, destroy_at=1)
        suite.store.destroy("acme", "orders")
    before = suite.store.get("acme", "orders")
    with pytest.raises(Conflict):
        suite.create()
    assert suite.store.get("acme", "orders") == before


def test_tenants_do_not_see_each_other(suite: Suite) -> None:
    suite.create(tenant="acme")
    other = suite.create(tenant="beta")
    assert suite.store.get("beta", "orders") == other
    assert suite.store.record("beta", "orders", 1) != suite.store.record("acme", "orders", 1)
    assert [key.tenant for key in suite.store.page("beta")] == ["beta"]
    assert suite.store.page("gamma") == []
    with pytest.raises(NotFound):
        suite.store.get("gamma", "orders")


def test_names_that_run_together_are_different_keys(suite: Suite) -> None:
    suite.create("b.c", tenant="a")
    suite.create("c", tenant="a.b")
    assert suite.store.record("a", "b.c", 1) != suite.store.record("a.b", "c", 1)


@pytest.mark.parametrize("key_id", ["", "A", "../x", "a/b", "a\n", "x" * 129, ".a"])
def test_key_ids_are_checked(suite: Suite, key_id: str) -> None:
    with pytest.raises(BadRequest):
        suite.create(key_id)
    with pytest.raises(BadRequest):
        suite.create(alg="DES")


def test_a_rotation_adds_the_version_that_signs(suite: Suite) -> None:
    first = suite.create()
    second = suite.rotate(origin=Origin.IMPORTED)
    assert second.newest_enabled().number == 2
    assert second.versions[2].origin is Origin.IMPORTED
    assert second.versions[1] == first.versions[1]
    assert second.epoch > first.epoch
    assert suite.identities[-1] == record_identity("acme", "orders", 2, "Ed25519")


def test_a_rotation_may_move_a_key_to_another_algorithm_of_its_usage(suite: Suite) -> None:
    suite.create()
    key = suite.rotate(alg="ML-DSA-65")
    assert key.alg == key.versions[2].alg == "ML-DSA-65"
    assert key.versions[1].alg == "Ed25519"
    with pytest.raises(Conflict):
        suite.rotate(alg="AES-KWP")
    assert len(suite.store.get("acme", "orders").versions) == 2


def test_only_an_enabled_key_is_rotated(suite: Suite) -> None:
    with pytest.raises(NotFound):
        suite.rotate()
    suite.create()
    suite.store.set_state("acme", "orders", DISABLED)
    with pytest.raises(KeyDisabled):
        suite.rotate()


def test_a_seal_that_fails_changes_nothing(suite: Suite) -> None:
    suite.create()
    before = suite.store.get("acme", "orders")

    def broken(_: bytes) -> tuple[bytes, bytes]:
        raise BadRequest("no key of this algorithm")

    with pytest.raises(BadRequest):
        suite.store.add_version("acme", "orders", alg="Ed25519", origin=Origin.IMPORTED, seal=broken)
    assert suite.store.get("acme", "orders") == before
    assert suite.rotate().newest_enabled().number == 2


@pytest.mark.parametrize("version", [None, 1])
def test_disable_and_enable(suite: Suite, version: int | None) -> None:
    epochs = [suite.create().epoch]
    for state in (DISABLED, ENABLED):
        key = suite.store.set_state("acme", "orders", state, version=version)
        assert (key.state if version is None else key.versions[1].state) is state
        epochs.append(key.epoch)
        unchanged = suite.store.set_state("acme", "orders", state, version=version)
        assert unchanged == key
    assert epochs == sorted(set(epochs))


@pytest.mark.parametrize("version", [None, 1])
def test_a_restore_gives_disabled_and_is_no_longer_due(suite: Suite, version: int | None) -> None:
    suite.create()
    key = suite.store.set_state("acme", "orders", SCHEDULED, version=version, destroy_at=100)
    assert (key if version is None else key.versions[1]).destroy_at == 100
    assert suite.store.due_for_destruction(99) == []
    assert suite.store.due_for_destruction(100) == [("acme", "orders", version)]
    key = suite.store.set_state("acme", "orders", DISABLED, version=version)
    assert (key if version is None else key.versions[1]).destroy_at is None
    assert suite.store.due_for_destruction(1 << 40) == []
    assert suite.store.record("acme", "orders", 1)


def test_states_that_do_not_follow_are_refused(suite: Suite) -> None:
    suite.create()
    with pytest.raises(NotFound):
        suite.store.set_state("acme", "other", DISABLED)
    with pytest.raises(NotFound):
        suite.store.set_state("acme", "orders", DISABLED, version=2)
    with pytest.raises(Conflict):
        suite.store.destroy("acme", "orders")
    with pytest.raises(Conflict):
        suite.store.set_state("acme", "orders", DESTROYED)
    with pytest.raises(BadRequest):
        suite.store.set_state("acme", "orders", SCHEDULED)
    with pytest.raises(BadRequest):
        suite.store.set_state("acme", "orders", DISABLED, destroy_at=1)
    suite.store.set_state("acme", "orders", SCHEDULED, destroy_at=1)
    with pytest.raises(Conflict):
        suite.store.set_state("acme", "orders", ENABLED)


def test_a_destroyed_key_keeps_its_metadata_and_nothing_else(suite: Suite) -> None:
    suite.create()
    public = suite.rotate().versions[2].public
    suite.store.set_state("acme", "orders", SCHEDULED, destroy_at=100)
    for _ in range(2):
        key = suite.store.destroy("acme", "orders", due_by=100)
        assert key.state is DESTROYED
        assert {version.state for version in key.versions.values()} == {DESTROYED}
        assert key.versions[2].public == public
        suite.restart()
    assert suite.store.due_for_destruction(1 << 40) == []
    for number in (1, 2):
        with pytest.raises(KeyDisabled):
            suite.store.record("acme", "orders", number)
    with pytest.raises(Conflict):
        suite.store.set_state("acme", "orders", DISABLED)
    with pytest.raises(KeyDisabled):
        suite.rotate()


def test_one_version_is_destroyed_alone(suite: Suite) -> None:
    suite.create()
    suite.rotate()
    suite.store.set_state("acme", "orders", SCHEDULED, version=2, destroy_at=100)
    key = suite.store.destroy("acme", "orders", version=2)
    assert (key.state, key.versions[2].state) == (ENABLED, DESTROYED)
    assert key.newest_enabled().number == 1
    assert suite.store.record("acme", "orders", 1)
    assert suite.rotate().newest_enabled().number == 3


def test_a_window_that_was_moved_is_respected(suite: Suite) -> None:
    suite.create()
    suite.store.set_state("acme", "orders", SCHEDULED, destroy_at=100)
    suite.store.set_state("acme", "orders", DISABLED)
    suite.store.set_state("acme", "orders", SCHEDULED, destroy_at=200)
    with pytest.raises(Conflict):
        suite.store.destroy("acme", "orders", due_by=100)
    assert suite.store.record("acme", "orders", 1)


def test_a_policy_changes_by_what_is_given(suite: Suite) -> None:
    epochs = [suite.create(alg="ML-DSA-44").epoch]
    suite.rotate(alg="ML-DSA-44")
    for change, policy in (
        (PolicyChange(not_after=200, min_version=2), KeyPolicy(mu=True, not_after=200, min_version=2)),
        (PolicyChange(mu=False, not_before=100), KeyPolicy(not_before=100, not_after=200, min_version=2)),
        (PolicyChange(not_after=None), KeyPolicy(not_before=100, min_version=2)),
        (
            PolicyChange(rotation_period_seconds=60, min_version=1, not_before=None),
            KeyPolicy(rotation_period_seconds=60),
        ),
    ):
        key = suite.store.set_policy("acme", "orders", change)
        assert key.policy == policy
        epochs.append(key.epoch)
        assert suite.store.set_policy("acme", "orders", change) == key
        suite.restart()
        assert suite.store.get("acme", "orders").policy == policy
    assert epochs == sorted(set(epochs))


def test_a_rotation_is_due_once_a_period(suite: Suite) -> None:
    made = suite.create(alg="ML-DSA-44")
    suite.create("other", alg="ML-DSA-44")
    due = made.created_at + 3600
    assert suite.store.due_for_rotation(1 << 40) == []
    key = suite.store.set_policy("acme", "orders", PolicyChange(rotation_period_seconds=3600))
    for _ in range(2):
        assert suite.store.due_for_rotation(due - 1) == []
        assert suite.store.due_for_rotation(due) == [suite.store.get("acme", "orders")]
        suite.restart()
    suite.store.set_policy("acme", "orders", PolicyChange(not_after=due + 1))
    assert suite.store.due_for_rotation(due) != []
    assert suite.store.due_for_rotation(due + 1) == [], "expired"
    suite.store.set_policy("acme", "orders", PolicyChange(not_after=None))
    suite.store.set_state("acme", "orders", DISABLED)
    assert suite.store.due_for_rotation(due) == []
    suite.store.set_state("acme", "orders", ENABLED)
    key = suite.rotate(alg="ML-DSA-44")
    assert suite.store.due_for_rotation(key.versions[2].created_at + 3599) == []
    assert suite.store.due_for_rotation(key.versions[2].created_at + 3600) == [key]
    suite.rotate(alg="ML-DSA-44", origin=Origin.IMPORTED)
    assert suite.store.due_for_rotation(1 << 40) == []
    suite.rotate(alg="ML-DSA-44")
    suite.store.set_policy("acme", "orders", PolicyChange(rotation_period_seconds=None))
    assert suite.store.due_for_rotation(1 << 40) == []


def test_a_condition_is_asked_under_the_lock(suite: Suite) -> None:
    """What holds before the material is made and no longer when it is there: nothing is added."""
    suite.create()
    asked: list[int] = []

    def once(key: Key) -> None:
        asked.append(len(key.versions))
        if len(asked) > 1:
            raise Conflict("not any more")

    with pytest.raises(Conflict, match="not any more"):
        suite.store.add_version(
            "acme",
            "orders",
            alg="Ed25519",
            origin=Origin.GENERATED,
            seal=suite.seal("Ed25519"),
            condition=once,
        )
    assert asked == [1, 1]
    assert len(suite.store.get("acme", "orders").versions) == 1
    assert suite.rotate().newest_enabled().number == 2


def test_a_policy_that_a_key_cannot_have_is_refused(suite: Suite) -> None:
    with pytest.raises(NotFound):
        suite.store.set_policy("acme", "orders", PolicyChange(not_after=1))
    suite.create("mail", alg="ML-DSA-44")
    before = suite.store.get("acme", "mail")
    for change in (
        PolicyChange(min_version=2),
        PolicyChange(min_version=0),
        PolicyChange(not_before=2, not_after=2),
        PolicyChange(rotation_period_seconds=59),
        PolicyChange(not_after=-1),
    ):
        with pytest.raises(BadRequest):
            suite.store.set_policy("acme", "mail", change)
    assert suite.store.get("acme", "mail") == before
    suite.rotate("mail", alg="ML-DSA-44", origin=Origin.IMPORTED)
    with pytest.raises(BadRequest, match="imported"):
        suite.store.set_policy("acme", "mail", PolicyChange(rotation_period_seconds=3600))
    suite.store.set_state("acme", "mail", SCHEDULED, destroy_at=1)
    suite.store.destroy("acme", "mail")
    with pytest.raises(Conflict):
        suite.store.set_policy("acme", "mail", PolicyChange(not_after=1))


def test_a_stage_ends_with_the_next_state(suite: Suite) -> None:
    before = suite.create().epoch
    staged = suite.store.stage_disable("acme", "orders", 30, 0)
    assert staged.staged is not None
    assert (staged.staged.share(staged.staged.since), staged.epoch > before) == (30, True)
    with pytest.raises(Conflict):
        suite.store.stage_disable("acme", "orders", 29, 0)
    suite.restart()
    assert suite.store.get("acme", "orders").staged == staged.staged
    assert suite.store.set_state("acme", "orders", ENABLED).staged is None
    suite.store.stage_disable("acme", "orders", 100, 60)
    end = suite.store.get("acme", "orders").staged
    assert end is not None
    assert suite.store.due_for_disabling(end.since + 59) == []
    suite.restart()
    assert [key.key_id for key in suite.store.due_for_disabling(end.since + 60)] == ["orders"]

    def refuse(_: Key) -> None:
        raise Conflict("no")

    with pytest.raises(Conflict, match="no"):
        suite.store.set_state("acme", "orders", DISABLED, condition=refuse)
    assert suite.store.set_state("acme", "orders", DISABLED).staged is None
    assert suite.store.due_for_disabling(end.since + 60) == []
    with pytest.raises(Conflict):
        suite.store.stage_disable("acme", "orders", 50, 0)


def test_reservations_are_kept_and_bounded(suite: Suite) -> None:
    suite.create(alg="ML-DSA-44")
    suite.store.set_policy("acme", "orders", PolicyChange(max_operations=250))
    epoch = suite.store.get("acme", "orders").epoch
    assert suite.store.reserve("acme", "orders", 1, 1) == (2, False)
    assert suite.store.reserve("acme", "orders", 1, 40) == (40, False)
    suite.restart()
    key = suite.store.get("acme", "orders")
    assert (key.versions[1].reserved, key.operations_left(1)) == (42, 208)
    suite.rotate(alg="ML-DSA-44")
    assert suite.store.get("acme", "orders").operations_left(2) == 250
    assert suite.store.reserve("acme", "orders", 1, 300) == (208, True)
    with pytest.raises(KeyExhausted):
        suite.store.reserve("acme", "orders", 1, 1)
    suite.store.set_state("acme", "orders", DISABLED, version=2)
    with pytest.raises(KeyDisabled):
        suite.store.reserve("acme", "orders", 2, 1)
    suite.create("free", alg="ML-DSA-44")
    assert suite.store.reserve("acme", "free", 1, 7) == (7, False)
    assert suite.store.get("acme", "free").versions[1].reserved == 0
    assert suite.store.get("acme", "orders").epoch > epoch


def test_pages_go_through_all_keys_in_order(suite: Suite) -> None:
    ids = [f"k{number:02}" for number in (7, 3, 9, 1, 5)]
    for key_id in ids[:3]:
        suite.create(key_id)
    assert [key.key_id for key in suite.store.page("acme", limit=2)] == ["k03", "k07"]
    for key_id in ids[3:]:
        suite.create(key_id)
    seen: list[str] = []
    while page := suite.store.page("acme", after=seen[-1] if seen else "", limit=2):
        seen += [key.key_id for key in page]
    assert seen == sorted(ids)


def test_counts_by_state_and_algorithm(suite: Suite) -> None:
    suite.create("a")
    suite.create("b")
    suite.create("c", alg="ES256")
    suite.store.set_state("acme", "b", DISABLED)
    assert suite.store.count() == {
        ("enabled", "Ed25519"): 1,
        ("disabled", "Ed25519"): 1,
        ("enabled", "ES256"): 1,
    }
    assert suite.store.damaged() == []
