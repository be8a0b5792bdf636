from __future__ import annotations

import msgspec
import pytest

from ronkms.domain.algorithm import Usage
from ronkms.domain.key import KeyState, Origin, record_identity
from ronkms.domain.key_policy import KeyPolicy
from ronkms.errors import IntegrityError, NotFound
from ronkms.store.journal_entry import (
    AddVersion,
    Create,
    Destroy,
    Entry,
    Reserve,
    SetPolicy,
    SetState,
    VersionFields,
    encode_entry,
)
from ronkms.store.keyring import MOST_PACKED, Keyring


def version(number: int, alg: str = "Ed25519") -> VersionFields:
    return VersionFields(
        number=number, alg=alg, origin=Origin.GENERATED, at=7, public=b"public", digest=bytes(32)
    )


def create(key_id: str = "orders", number: int = 1) -> Create:
    return Create(
        tenant="acme", key_id=key_id, usage=Usage.SIGN, backend="file", at=7, version=version(number)
    )


def add(number: int, key_id: str = "orders") -> AddVersion:
    return AddVersion(tenant="acme", key_id=key_id, version=version(number))


def state(new: KeyState, number: int | None = None, destroy_at: int | None = None) -> SetState:
    return SetState(tenant="acme", key_id="orders", state=new, number=number, destroy_at=destroy_at)


def destroy(number: int | None = None) -> Destroy:
    return Destroy(tenant="acme", key_id="orders", number=number)


def policy(**fields: int) -> SetPolicy:
    return SetPolicy(tenant="acme", key_id="orders", policy=KeyPolicy(**fields))


class Replayed:
    """A keyring that took ``entries``."""

    def __init__(self, *entries: Entry) -> None:
        self.retired: list[bytes] = []
        self.keyring = Keyring(lambda _, identity: self.retired.append(identity))
        self.seq = 1
        for entry in entries:
            self.take(entry)

    def take(self, entry: Entry) -> None:
        self.seq += 1
        self.keyring.apply(self.seq, encode_entry(entry))


def identity(number: int) -> bytes:
    return record_identity("acme", "orders", number, "Ed25519")


@pytest.mark.parametrize(
    "entries",
    [
        [create(), create()],
        [create(number=2)],
        [add(1)],
        [create(), add(1)],
        [create(), add(3)],
        [state(KeyState.DISABLED)],
        [policy(not_after=9)],
        [create(), state(KeyState.DISABLED, number=2)],
        [destroy()],
        [create(), destroy(number=2)],
    ],
)
def test_an_entry_that_does_not_follow_is_an_integrity_error(entries: list[Entry]) -> None:
    with pytest.raises(IntegrityError, match="keystore journal entry"):
        Replayed(*entries)


@pytest.mark.parametrize(
    "entry", [b"{}", b'{"op":"merge"}', b'{"op":"destroy","tenant":"t","key_id":"k","why":1}', b"[]"]
)
def test_an_entry_of_an_unknown_form_is_an_integrity_error(entry: bytes) -> None:
    with pytest.raises(IntegrityError, match="unknown"):
        Replayed().keyring.apply(2, entry)


@pytest.mark.parametrize(
    ("change", "numbers"),
    [
        (state(KeyState.DISABLED), [1, 2]),
        (state(KeyState.DISABLED, number=2), [2]),
        (state(KeyState.DESTROY_SCHEDULED, destroy_at=9), [1, 2]),
        (destroy(), [1, 2]),
        (destroy(number=1), [1]),
        (state(KeyState.ENABLED), []),
        (add(3), []),
        (policy(min_version=2), [1]),
        (policy(not_after=9), []),
    ],
)
def test_what_stops_being_usable_is_told(change: Entry, numbers: list[int]) -> None:
    replayed = Replayed(create(), add(2))
    assert replayed.retired == []
    replayed.take(change)
    assert replayed.retired == [identity(number) for number in numbers]


def test_an_older_snapshot_of_a_key_keeps_its_own_fields() -> None:
    replayed = Replayed(create())
    before = replayed.keyring.get("acme", "orders")
    replayed.take(state(KeyState.DISABLED))
    after = replayed.keyring.get("acme", "orders")
    assert (before.state, after.state) == (KeyState.ENABLED, KeyState.DISABLED)
    assert after.epoch == replayed.seq > before.epoch


@pytest.mark.parametrize("versions", [1, MOST_PACKED, MOST_PACKED + 1])
def test_a_change_of_any_kind_outlasts_a_rotation(versions: int) -> None:
    replayed = Replayed(create(), *map(add, range(2, versions + 1)))
    replayed.take(Reserve(tenant="acme", key_id="orders", number=1, reserved=5))
    replayed.take(policy(max_operations=9))
    replayed.take(state(KeyState.DISABLED, number=1))
    replayed.take(add(versions + 1))
    replayed.take(add(versions + 2))
    key = replayed.keyring.get("acme", "orders")
    assert len(key.versions) == versions + 2
    assert (key.versions[1].state, key.versions[1].reserved) == (KeyState.DISABLED, 5)
    assert key.versions[versions].number == versions
    assert (key.policy.max_operations, key.epoch) == (9, replayed.seq)
    assert replayed.keyring.page("acme", "", 9) == list(replayed.keyring.every_key()) == [key]


def test_keys_are_counted_by_state_and_algorithm() -> None:
    replayed = Replayed(create(), create("mail"), create("post"))
    assert replayed.keyring.count() == {("enabled", "Ed25519"): 3}
    replayed.take(state(KeyState.DISABLED))
    assert replayed.keyring.count() == {("enabled", "Ed25519"): 2, ("disabled", "Ed25519"): 1}
    replayed.take(state(KeyState.ENABLED))
    ecdsa = AddVersion(tenant="acme", key_id="orders", version=version(2, "ES256"))
    replayed.take(ecdsa)
    assert replayed.keyring.count() == {("enabled", "Ed25519"): 2, ("enabled", "ES256"): 1}
    replayed.take(policy(min_version=2))
    replayed.take(destroy())
    assert replayed.keyring.count() == {("enabled", "Ed25519"): 2, ("destroyed", "ES256"): 1}
    replayed.keyring.mark_damaged("acme", "mail", 1, "one")
    assert replayed.keyring.count() == {("enabled", "Ed25519"): 2, ("destroyed", "ES256"): 1}


def test_the_live_entries_build_the_same_keys() -> None:
    replayed = Replayed(
        create(),
        add(2),
        add(3),
        create("mail"),
        state(KeyState.DISABLED, number=1),
        destroy(number=2),
        policy(not_before=5, min_version=3),
        state(KeyState.DESTROY_SCHEDULED, destroy_at=99),
    )
    entries = list(replayed.keyring.live_entries())
    assert len(entries) == replayed.keyring.live_count() == 4
    again = Keyring(lambda *_: None)
    for seq, entry in enumerate(entries):
        again.apply(seq, entry)

    def without_epoch(keyring: Keyring) -> list[dict[str, object]]:
        return [msgspec.structs.asdict(key) | {"epoch": 0} for key in keyring.page("acme", "", 10)]

    assert without_epoch(again) == without_epoch(replayed.keyring)
    assert again.due(99) == replayed.keyring.due(99) == [("acme", "orders", None)]


def test_a_policy_of_an_older_journal_is_read() -> None:
    keyring = Replayed().keyring
    old = encode_entry(create()).replace(b'"at":7,', b'"policy":{"mu":true},"at":7,', 1)
    assert b'{"mu":true}' in old
    keyring.apply(2, old)
    assert keyring.get("acme", "orders").policy == KeyPolicy(mu=True)
    assert b'"policy":{"mu":true}' in next(keyring.live_entries())


@pytest.mark.parametrize("fields", ['{"mu":1}', '{"not_after":"9"}', '{"exportable":true}'])
def test_a_policy_of_an_unknown_form_is_an_integrity_error(fields: str) -> None:
    replayed = Replayed(create())
    entry = f'{{"op":"policy","tenant":"acme","key_id":"orders","policy":{fields}}}'
    with pytest.raises(IntegrityError, match="unknown"):
        replayed.keyring.apply(3, entry.encode())


def test_due_is_in_order_of_time() -> None:
    replayed = Replayed(
        create(),
        add(2),
        state(KeyState.DESTROY_SCHEDULED, number=1, destroy_at=20),
        state(KeyState.DESTROY_SCHEDULED, number=2, destroy_at=10),
    )
    assert replayed.keyring.due(20) == [("acme", "orders", 2), ("acme", "orders", 1)]
    assert replayed.keyring.due(10) == [("acme", "orders", 2)]


def test_damage_shows_on_the_key_while_the_version_that_would_sign_has_it() -> None:
    replayed = Replayed(create(), add(2))
    keyring = replayed.keyring

    def shown() -> str | None:
        return keyring.get("acme", "orders").damaged

    assert keyring.mark_damaged("acme", "orders", 1, "one")
    assert shown() is None
    assert keyring.mark_damaged("acme", "orders", 2, "two")
    assert not keyring.mark_damaged("acme", "orders", 2, "two")
    assert shown() == "two"
    assert sorted(keyring.damaged()) == ["one", "two"]
    replayed.take(state(KeyState.DISABLED, number=2))
    assert shown() == "one"
    replayed.take(add(3))
    assert shown() is None
    assert keyring.clear_damaged("acme", "orders", 1)
    assert not keyring.clear_damaged("acme", "orders", 1)
    replayed.take(destroy(number=2))
    assert keyring.damaged() == []


def test_a_key_is_unpacked_once_until_it_changes() -> None:
    replayed = Replayed(create())
    keyring = replayed.keyring
    before = keyring.get("acme", "orders")
    assert keyring.get("acme", "orders") is before
    assert keyring.find("acme", "orders") == before
    replayed.take(state(KeyState.DISABLED, number=1))
    after = keyring.get("acme", "orders")
    assert (before.versions[1].state, after.versions[1].state) == (KeyState.ENABLED, KeyState.DISABLED)
    assert after.epoch > before.epoch
    with pytest.raises(NotFound):
        keyring.get("other", "orders")
