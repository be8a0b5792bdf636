from __future__ import annotations

import pytest
from ronkms_native import (
    Custody,
    CustodyFull,
    DamagedRecord,
    InputError,
    KeyMaterialError,
    NativeError,
    PublicKey,
    SealError,
    UnwrapError,
)

from ronkms.backends.native_errors import from_native, translated
from ronkms.backends.sealed_file import SealedFileBackend
from ronkms.backends.warm_handles import WarmHandles
from ronkms.domain.key import record_identity
from ronkms.errors import BackendUnavailable, BadRequest, KmsError


def named(number: int, alg: str = "Ed25519") -> bytes:
    return record_identity("acme", f"k{number}", 1, alg)


def test_the_least_recently_used_handle_makes_room() -> None:
    backend = SealedFileBackend(Custody.create("dev", None)[0], WarmHandles(2))
    records = [backend.generate("Ed25519", named(number))[0] for number in range(3)]
    for number in (0, 1):
        backend.open(records[number], named(number))
    assert backend.warm(named(0)) is not None
    backend.open(records[2], named(2))
    assert [backend.warm(named(number)) is not None for number in range(3)] == [True, False, True]


def test_short_locked_memory_evicts_instead_of_failing() -> None:
    """More keys than locked memory holds: keys are still made, opened and used."""
    backend = SealedFileBackend(Custody.create("dev", None)[0], WarmHandles(1_000_000))
    first = named(0, "ML-DSA-87")
    record, public = backend.generate("ML-DSA-87", first)
    backend.open(record, first)
    for number in range(1, 5_000):
        assert backend.warm(first) is not None, "used all the time, and evicted"
        name = named(number, "ML-DSA-87")
        backend.open(backend.generate("ML-DSA-87", name)[0], name)
    assert backend.warm(named(1, "ML-DSA-87")) is None, "locked memory never filled"
    handle = backend.warm(first)
    assert handle is not None
    assert all(PublicKey("ML-DSA-87", public).verify(b"m", handle.sign(b"m")))


class FullCustody:
    """Locked memory that other threads hold."""

    def unseal(self, sealed: bytes, identity: bytes) -> None:
        raise CustodyFull("no free slot")

    def generate(self, alg: str, identity: bytes) -> None:
        raise CustodyFull("no free slot")


def test_locked_memory_that_stays_full_is_unavailable() -> None:
    backend = SealedFileBackend(FullCustody())  # type: ignore[arg-type]
    with pytest.raises(BackendUnavailable, match="LimitMEMLOCK"):
        backend.open(b"record", b"identity")
    with pytest.raises(BackendUnavailable, match="LimitMEMLOCK"):
        backend.generate("Ed25519", b"identity")


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        (InputError, BadRequest),
        (KeyMaterialError, BadRequest),
        (UnwrapError, BadRequest),
        (DamagedRecord, BackendUnavailable),
        (CustodyFull, BackendUnavailable),
        (SealError, BackendUnavailable),
        (NativeError, BackendUnavailable),
    ],
)
def test_each_native_error_has_its_place_in_the_tree(
    native: type[NativeError], expected: type[KmsError]
) -> None:
    assert type(from_native(native("why"))) is expected
    with pytest.raises(expected) as caught, translated:
        raise native("why")
    assert isinstance(caught.value.__cause__, native)


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), translated:
        raise ZeroDivisionError
