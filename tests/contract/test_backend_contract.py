"""What every custody must do (``backends.protocol.Backend``), one suite for each that is registered."""

from __future__ import annotations

import os

import pytest
from ronkms_native import Custody, PublicKey

from ronkms.backends.protocol import Backend
from ronkms.backends.registry import FACTORIES, open_backend
from ronkms.domain.algorithm import ALGORITHMS, Usage
from ronkms.domain.key import record_identity
from ronkms.errors import BackendUnavailable, BadRequest, ConfigError

SIGNING = [row.name for row in ALGORITHMS.values() if row.usage is Usage.SIGN]
WRAPPING = [row.name for row in ALGORITHMS.values() if row.usage is Usage.WRAP]


def identity(alg: str, version: int = 1) -> bytes:
    return record_identity("acme", "orders", version, alg)


@pytest.fixture(params=sorted(FACTORIES))
def backend(request: pytest.FixtureRequest) -> Backend:
    return open_backend(request.param, Custody.create("dev", None)[0])


def test_the_registry_knows_a_backend_by_its_own_name(backend: Backend) -> None:
    assert FACTORIES[backend.name] is not None
    assert backend.missing() == []
    with pytest.raises(ConfigError, match="KMS_BACKEND must be one of"):
        open_backend("cloud", Custody.create("dev", None)[0])


@pytest.mark.parametrize("alg", SIGNING)
def test_a_stored_key_signs_what_its_public_key_verifies(backend: Backend, alg: str) -> None:
    record, public = backend.generate(alg, identity(alg))
    handle = backend.open(record, identity(alg))
    assert handle.alg == alg
    key = PublicKey(alg, public)
    assert all(key.verify(b"message", handle.sign(b"message")))
    assert not any(key.verify(b"other", handle.sign(b"message")))
    messages = [b"%d" % number for number in range(3)]
    for message, signature in zip(messages, handle.sign_batch(messages), strict=True):
        assert all(key.verify(message, signature))


@pytest.mark.parametrize("alg", WRAPPING)
def test_a_stored_key_opens_what_it_wrapped(backend: Backend, alg: str) -> None:
    record, _ = backend.generate(alg, identity(alg))
    handle = backend.open(record, identity(alg))
    aad = b"aad" if ALGORITHMS[alg].aad else b""
    wrapped = handle.wrap(b"header", aad, b"sixteen bytes ok")
    assert handle.unwrap(b"header", aad, wrapped) == b"sixteen bytes ok"
    with pytest.raises(BadRequest):
        handle.unwrap(b"header", aad, wrapped[:-1] + bytes([wrapped[-1] ^ 1]))


def test_two_keys_are_never_the_same(backend: Backend) -> None:
    made = [backend.generate("Ed25519", identity("Ed25519")) for _ in range(5)]
    assert len({record for record, _ in made}) == len({public for _, public in made}) == 5


def test_an_unknown_algorithm_is_the_callers_mistake(backend: Backend) -> None:
    with pytest.raises(BadRequest):
        backend.generate("DES", identity("DES"))


def test_a_record_opens_only_as_what_it_was_sealed(backend: Backend) -> None:
    record, _ = backend.generate("Ed25519", identity("Ed25519"))
    wrong = [
        (record, identity("Ed25519", 2)),
        (record, record_identity("beta", "orders", 1, "Ed25519")),
        (record[:-1], identity("Ed25519")),
        (record[:-1] + bytes([record[-1] ^ 1]), identity("Ed25519")),
        (b"", identity("Ed25519")),
        (os.urandom(len(record)), identity("Ed25519")),
    ]
    for damaged, name in wrong:
        with pytest.raises(BackendUnavailable):
            backend.open(damaged, name)
        assert backend.warm(name) is None


def test_a_record_of_another_root_key_does_not_open(backend: Backend) -> None:
    record, _ = backend.generate("Ed25519", identity("Ed25519"))
    other = open_backend(backend.name, Custody.create("dev", None)[0])
    with pytest.raises(BackendUnavailable):
        other.open(record, identity("Ed25519"))


def test_what_a_key_does_not_take_is_the_callers_mistake(backend: Backend) -> None:
    record, _ = backend.generate("Ed25519", identity("Ed25519"))
    handle = backend.open(record, identity("Ed25519"))
    with pytest.raises(BadRequest):
        handle.sign(b"", context=b"context")
    with pytest.raises(BadRequest):
        handle.sign(bytes(64), input_kind="mu")
    with pytest.raises(BadRequest):
        handle.wrap(b"", b"", b"plaintext")


def test_a_handle_stays_warm_until_it_is_evicted(backend: Backend) -> None:
    name = identity("Ed25519")
    assert backend.warm(name) is None
    record, public = backend.generate("Ed25519", name)
    backend.open(record, name)
    warm = backend.warm(name)
    assert warm is not None
    assert all(PublicKey("Ed25519", public).verify(b"m", warm.sign(b"m")))
    backend.evict(name)
    backend.evict(name)
    assert backend.warm(name) is None


def test_an_import_that_does_not_unwrap_is_the_callers_mistake(backend: Backend) -> None:
    mechanism = "HPKE-X-Wing-HKDF-SHA256-AES-256-GCM"
    params, public = backend.import_params(mechanism, b"params identity")
    assert len(public) == 1216
    with pytest.raises(BadRequest):
        backend.import_key(mechanism, params, b"params identity", bytes(2000), "Ed25519", identity("Ed25519"))
    with pytest.raises(BackendUnavailable):
        backend.import_key(mechanism, params, b"other", bytes(2000), "Ed25519", identity("Ed25519"))
    with pytest.raises(BadRequest):
        backend.import_params("plain", b"params identity")


def test_a_child_opens_its_own_handles(backend: Backend) -> None:
    name = identity("Ed25519")
    record, public = backend.generate("Ed25519", name)
    backend.open(record, name)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            backend.after_fork()
            assert backend.warm(name) is None
            signature = backend.open(record, name).sign(b"child")
            assert all(PublicKey("Ed25519", public).verify(b"child", signature))
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    warm = backend.warm(name)
    assert warm is not None
    assert all(PublicKey("Ed25519", public).verify(b"parent", warm.sign(b"parent")))


def test_a_handle_shows_nothing(backend: Backend) -> None:
    record, _ = backend.generate("Ed25519", identity("Ed25519"))
    shown = repr(backend.open(record, identity("Ed25519")))
    assert "Ed25519" in shown
    assert len(shown) < 80
