from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ronkms.domain.algorithm import ALGORITHMS, Usage
from ronkms.domain.key import Key, KeyState, KeyVersion, Origin
from ronkms.domain.key_policy import MAX_OPERATIONS, MAX_TIME, KeyPolicy
from ronkms.domain.staged_disable import StagedDisable
from ronkms.domain.version_table import VersionTable
from ronkms.store.packed_key import TYPICAL, pack, unpack

ALG = st.sampled_from(sorted(ALGORITHMS))
TIME = st.integers(0, MAX_TIME)
FIELDS = st.fixed_dictionaries(
    {
        "alg": ALG,
        "state": st.sampled_from(KeyState),
        "origin": st.sampled_from(Origin),
        "created_at": TIME,
        "public": st.binary(max_size=64),
        "record_digest": st.binary(min_size=32, max_size=32),
        "destroy_at": st.none() | TIME,
        "reserved": st.integers(0, MAX_OPERATIONS),
    }
)
POLICY = st.builds(
    KeyPolicy,
    mu=st.booleans(),
    not_before=st.none() | TIME,
    not_after=st.none() | TIME,
    min_version=st.integers(1, 2**31),
    rotation_period_seconds=st.none() | TIME,
    max_operations=st.none() | st.integers(1, MAX_OPERATIONS),
    algs=st.none() | st.lists(ALG, max_size=3).map(tuple),
    prehashed=st.booleans(),
    signature_formats=st.none() | st.lists(st.sampled_from(["der", "p1363"])).map(tuple),
)
STAGED = st.builds(
    StagedDisable,
    percent=st.integers(1, 100),
    since=TIME,
    over=st.integers(0, 10**6),
    start=st.floats(0, 100),
)


@st.composite
def keys(draw: st.DrawFn) -> Key:
    fields = draw(st.lists(FIELDS, min_size=1, max_size=4))
    return Key(
        tenant="acme",
        key_id="orders",
        alg=str(fields[-1]["alg"]),
        usage=draw(st.sampled_from(Usage)),
        backend=draw(st.sampled_from(["file", "pkcs11"])),
        state=draw(st.sampled_from(KeyState)),
        created_at=draw(TIME),
        epoch=draw(st.integers(0, 2**63)),
        labels=draw(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)),
        policy=draw(st.just(KeyPolicy()) | POLICY),
        versions=VersionTable([KeyVersion(number=number, **row) for number, row in enumerate(fields, 1)]),
        destroy_at=draw(st.none() | TIME),
        staged=draw(st.none() | STAGED),
        damaged=draw(st.none() | st.text(max_size=5)),
    )


@given(keys())
def test_a_packed_key_is_the_same_key(key: Key) -> None:
    assert unpack("acme", "orders", pack(key)) == key


def test_a_plain_key_is_small() -> None:
    version = KeyVersion(
        number=1,
        alg="Ed25519",
        state=KeyState.ENABLED,
        origin=Origin.GENERATED,
        created_at=1_764_300_000,
        public=bytes(32),
        record_digest=bytes(32),
    )
    key = Key(
        tenant="acme",
        key_id="orders",
        alg="Ed25519",
        usage=Usage.SIGN,
        backend="file",
        state=KeyState.ENABLED,
        created_at=1_764_300_000,
        epoch=100_000,
        labels={},
        policy=KeyPolicy(),
        versions=VersionTable([version]),
    )
    assert len(pack(key)) <= len(TYPICAL) <= 128
