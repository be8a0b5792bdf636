"""The operations that the native benches and the gate time: ours, and the same by others.

A verify-cache entry is an Ed25519 verdict on a 32-byte message. Its tag has the six parts that the service
gives it: the 32-byte sub-tag of what stays the same for a key, the input kind, signature format and context,
the SHA-256 of the message, and the 64-byte signature.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from types import ModuleType
from typing import Any

import warp_cache
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from ronkms_native import Arena, Custody, PrivateKey, PublicKey, verify_batch

from bench.interleave import Operation

MESSAGE_BYTES = 32
ENTRIES = 1024
BATCH = 64
CACHE_ENTRIES = 262_144
SHARED_MEMORY = Path("/dev/shm")

Entry = tuple[bytes, bytes, bytes, bytes, bytes, bytes]
INPUT = 4
"""Which part is the message's digest, or the message."""


def each(operation: Callable[[], object]) -> Operation:
    """``operation``, repeated by a plain loop."""

    def run(count: int) -> None:
        for _ in range(count):
            operation()

    return run


def new_key(alg: str) -> PrivateKey:
    """A fresh key in custody."""
    custody, _ = Custody.create("dev", None)
    sealed, _ = custody.generate(alg, b"bench/1")
    return custody.unseal(sealed, b"bench/1")


# --- cache -------------------------------------------------------------------------------------


def new_arena() -> Arena:
    """An arena of the default size."""
    return Arena(
        cache_entries=CACHE_ENTRIES,
        cache_ttl_ms=3_600_000,
        inflight_sign=1000,
        inflight_verify=1000,
        tenant_share_min=0.1,
        slots=16,
        tenants=4096,
        ops=["verify"],
        algs=["Ed25519"],
        outcomes=["ok"],
        counters=["requests"],
        gauges=["skew"],
        generations=["keyring"],
    )


def filled_arena() -> tuple[Arena, list[Entry]]:
    """An arena with ``ENTRIES`` live verdicts, and the parts of their tags."""
    arena = new_arena()
    sub_tag = arena.cache_tag([b"default", b"bench", b"Ed25519"])
    entries = [
        (sub_tag, b"message", b"", b"", hashlib.sha256(message).digest(), os.urandom(64))
        for message in messages()
    ]
    for entry in entries:
        arena.cache_put(arena.cache_tag(list(entry)), 1, False)
    return arena, entries


def messages() -> list[bytes]:
    """``ENTRIES`` messages, the same in each call."""
    return [number.to_bytes(MESSAGE_BYTES, "big") for number in range(ENTRIES)]


def binding_hit() -> Operation:
    """Tag and look-up through the Python binding."""
    arena, entries = filled_arena()
    look_up = arena.cache_lookup

    def run(count: int) -> None:
        for sub_tag, kind, form, context, digest, signature in islice(cycle(entries), count):
            if look_up([sub_tag, kind, form, context, digest, signature]) != 1:
                raise RuntimeError("an entry was lost")

    return run


def compiled_hit(cache_hits: ModuleType) -> Operation:
    """Tag and look-up from Cython."""
    arena, entries = filled_arena()

    def run(count: int) -> None:
        if cache_hits.look_up(arena, entries, count) != count:
            raise RuntimeError("an entry was lost")

    return run


def compiled_hit_with_digest(cache_hits: ModuleType) -> Operation:
    """``compiled_hit`` with the SHA-256 of the message, which the audit record needs as well."""
    arena, entries = filled_arena()
    undigested = [
        (*entry[:INPUT], message, *entry[INPUT + 1 :])
        for entry, message in zip(entries, messages(), strict=True)
    ]

    def run(count: int) -> None:
        if cache_hits.look_up(arena, undigested, count, INPUT) != count:
            raise RuntimeError("an entry was lost")

    return run


def dict_hit() -> Operation:
    """A plain dict keyed by the same bytes: one process, no expiry, no limit, an unkeyed 64-bit hash."""
    _, entries = filled_arena()
    verdicts = {b"".join(entry): 1 for entry in entries}

    def run(count: int) -> None:
        for entry in islice(cycle(entries), count):
            if verdicts[b"".join(entry)] != 1:
                raise RuntimeError("an entry was lost")

    return run


def warp_cache_hit() -> Operation:
    """``warp-cache`` with its backend in shared memory, keyed by the same bytes."""
    _, entries = filled_arena()
    known = set(SHARED_MEMORY.glob("warp_cache_*"))

    @warp_cache.cache(max_size=CACHE_ENTRIES, ttl=3600, backend="shared", max_key_size=256, max_value_size=16)
    def verdict(_: bytes) -> int:
        return 1

    # It leaves its files to the next process; the mapping outlives their names.
    for file in set(SHARED_MEMORY.glob("warp_cache_*")) - known:
        file.unlink()
    for entry in entries:
        verdict(b"".join(entry))
    missed = verdict.cache_info().misses

    def run(count: int) -> None:
        for entry in islice(cycle(entries), count):
            verdict(b"".join(entry))
        if verdict.cache_info().misses != missed:
            raise RuntimeError("an entry was lost")

    return run


def blake2_of_same_bytes() -> Operation:
    """Python's BLAKE2b over the bytes of a tag, in the loop of ``binding_hit``: the gate's yardstick."""
    _, entries = filled_arena()
    blake2b = hashlib.blake2b

    def run(count: int) -> None:
        for entry in islice(cycle(entries), count):
            blake2b(b"".join(entry)).digest()

    return run


def permit() -> Operation:
    """Admits one request and releases it."""
    arena = new_arena()

    def run(count: int) -> None:
        for _ in range(count):
            arena.release(arena.admit(0, b"default", 1))

    return run


# --- signatures --------------------------------------------------------------------------------


def our_sign(alg: str) -> Operation:
    """Signs a 32-byte message with a key in custody."""
    return each(partial(new_key(alg).sign, os.urandom(MESSAGE_BYTES)))


def our_verify(alg: str) -> Operation:
    """Verifies a valid signature of a 32-byte message."""
    key, message = new_key(alg), os.urandom(MESSAGE_BYTES)
    verify, signature = PublicKey(alg, key.public).verify, key.sign(message)

    def run(count: int) -> None:
        for _ in range(count):
            if verify(message, signature) != (True,):
                raise RuntimeError("a good signature was refused")

    return run


_THEIR_KEYS: dict[str, Any] = {"Ed25519": Ed25519PrivateKey, "ML-DSA-65": MLDSA65PrivateKey}


def their_sign(alg: str) -> Operation:
    """``our_sign`` by ``cryptography``."""
    return each(partial(_THEIR_KEYS[alg].generate().sign, os.urandom(MESSAGE_BYTES)))


def their_verify(alg: str) -> Operation:
    """``our_verify`` by ``cryptography``."""
    key, message = _THEIR_KEYS[alg].generate(), os.urandom(MESSAGE_BYTES)
    return each(partial(key.public_key().verify, key.sign(message), message))


def batch_sign() -> Operation:
    """Batches of 64 Ed25519 signatures; counts signatures."""
    key, messages = new_key("Ed25519"), [os.urandom(MESSAGE_BYTES) for _ in range(BATCH)]

    def run(count: int) -> None:
        for _ in range(_batches(count)):
            key.sign_batch(messages)

    return run


def batch_verify(keys: int) -> Operation:
    """Batches of 64 Ed25519 verifications, by ``keys`` different keys in turn; counts signatures."""
    signers = [new_key("Ed25519") for _ in range(keys)]
    items = []
    for signer in islice(cycle(signers), BATCH):
        message = os.urandom(MESSAGE_BYTES)
        items.append((PublicKey("Ed25519", signer.public), message, signer.sign(message), b""))

    def run(count: int) -> None:
        for _ in range(_batches(count)):
            if not all(verdict for (verdict,) in verify_batch(items)):
                raise RuntimeError("a good signature was refused")

    return run


def _batches(count: int) -> int:
    return -(-count // BATCH)
