"""The function table that compiled callers use, called through ctypes as C declares it."""

from __future__ import annotations

import ctypes
import re
from hashlib import sha256
from pathlib import Path

import ronkms_native
from ronkms_native import Arena, AuditLog, Custody, _native

from tests.unit.native.arenas import MISS, make_arena

NAME = b"ronkms_native._native._C_API"


class Bytes(ctypes.Structure):
    _fields_ = (("data", ctypes.c_char_p), ("length", ctypes.c_size_t))


ARENA, TAG, INT = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32
PARTS = ctypes.POINTER(Bytes)
FUNCTIONS = {
    "cache_tag": (None, ARENA, PARTS, ctypes.c_size_t, TAG),
    "cache_lookup": (INT, ARENA, PARTS, ctypes.c_size_t, TAG),
    "cache_get": (INT, ARENA, TAG),
    "cache_put": (None, ARENA, TAG, ctypes.c_uint8, INT),
    "admit": (ctypes.c_int64, ARENA, ctypes.c_uint32, Bytes, ctypes.c_uint64),
    "top_up": (ctypes.c_int64, ARENA, ctypes.c_int64, ctypes.c_uint64),
    "release": (INT, ARENA, ctypes.c_int64),
    "observe": (INT, ARENA, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32, Bytes, ctypes.c_uint64),
    "count": (INT, ARENA, ctypes.c_uint32, ctypes.c_uint64),
    "generation": (ctypes.c_uint64, ARENA, ctypes.c_uint32),
    "audit_append": (ctypes.c_int64, ARENA, Bytes, INT),
    "cache_probe": (INT, ARENA, TAG),
    "sha256": (None, Bytes, TAG),
    "mac": (INT, ctypes.c_void_p, Bytes, TAG),
}


class Table(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        *((name, ctypes.CFUNCTYPE(*signature)) for name, signature in FUNCTIONS.items()),
    )


def table() -> Table:
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype = ctypes.c_void_p
    get_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
    return Table.from_address(get_pointer(_native._C_API, NAME))


def as_bytes(*parts: bytes) -> ctypes.Array[Bytes]:
    return (Bytes * len(parts))(*(Bytes(part, len(part)) for part in parts))


def test_the_header_declares_the_table() -> None:
    header = (Path(ronkms_native.__file__).parent / "ronkms_native.h").read_text()
    declared = re.findall(r"\(\*(\w+)\)\(", header)
    assert declared == list(FUNCTIONS)
    assert table().version == int(re.search(r"RONKMS_TABLE_VERSION (\d+)", header)[1])  # type: ignore[index]
    assert table().size >= ctypes.sizeof(Table)


def test_cache_functions_agree_with_the_methods() -> None:
    arena, functions = make_arena(), table()
    parts = (b"tenant", b"", b"signature" * 200)
    tag = ctypes.create_string_buffer(32)
    functions.cache_tag(arena._pointer(), as_bytes(*parts), 3, tag)
    assert tag.raw == arena.cache_tag(list(parts))
    assert functions.cache_get(arena._pointer(), tag.raw) == MISS
    functions.cache_put(arena._pointer(), tag.raw, 7, 0)
    looked_up = ctypes.create_string_buffer(32)
    assert functions.cache_lookup(arena._pointer(), as_bytes(*parts), 3, looked_up) == 7
    assert looked_up.raw == tag.raw
    assert arena.cache_get(tag.raw) == 7


def test_a_probe_counts_hits_only() -> None:
    arena, functions = make_arena(), table()
    tag = arena.cache_tag([b"probe"])
    assert functions.cache_probe(arena._pointer(), tag) == MISS
    arena.cache_put(tag, 3, negative=False)
    assert functions.cache_probe(arena._pointer(), tag) == 3
    cache = arena.snapshot().cache
    assert (cache["hit"], cache["miss"]) == (1, 0)


def test_digest_and_mac_agree_with_the_library_and_the_method() -> None:
    functions = table()
    custody, _ = Custody.create("dev", None)
    key = custody.unseal_mac_key(custody.generate_mac_key(b"i"), b"i")
    [data] = as_bytes(b"data" * 99)
    out = ctypes.create_string_buffer(32)
    functions.sha256(data, out)
    assert out.raw == sha256(b"data" * 99).digest()
    assert functions.mac(key._pointer(), data, out) == 0
    assert out.raw == key.mac(b"data" * 99)


def test_admission_and_metrics_functions_agree_with_the_methods() -> None:
    arena, functions = make_arena(), table()
    [tenant] = as_bytes(b"acme")
    pointer = arena._pointer()
    permit = functions.admit(pointer, 0, tenant, 4)
    assert functions.top_up(pointer, permit, 2) == 0
    assert arena.snapshot().inflight["sign"] == (6, 100)
    assert (functions.release(pointer, permit), functions.release(pointer, permit)) == (0, -3)
    assert functions.admit(pointer, 9, tenant, 1) == -3
    assert (functions.count(pointer, 1, 5), functions.count(pointer, 2, 5)) == (0, -3)
    assert functions.observe(pointer, 1, 1, 1, tenant, 1000) == 0
    assert functions.observe(pointer, 1, 1, 2, tenant, 1000) == -3
    arena.bump(1)
    assert (functions.generation(pointer, 1), functions.generation(pointer, 2)) == (1, 2**64 - 1)
    snapshot = arena.snapshot()
    assert snapshot.counters["records"] == 5
    assert snapshot.ops == [("acme", "verify", "denied", 1)]


def test_appending_gives_the_sequence_number(tmp_path: Path) -> None:
    arena: Arena = make_arena()
    log = AuditLog.open(arena, str(tmp_path), 4096)
    append = table().audit_append
    [body, wrong] = as_bytes(b'"op":"sign"}', b"}")
    assert [append(log._pointer(), body, may_wait) for may_wait in (0, 1)] == [0, 1]
    assert append(log._pointer(), wrong, 1) == -3
    assert log.head[0] == 2
    while append(log._pointer(), body, 0) >= 0:
        pass
    assert append(log._pointer(), body, 0) == -2, "a new segment needs a sync, so it may wait"
    next(tmp_path.glob("*.jsonl")).unlink()
    assert not log.writable()
    assert append(log._pointer(), body, 1) == -1
