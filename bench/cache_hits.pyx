# cython: language_level=3, boundscheck=False, wraparound=False
"""Cache hits as compiled callers make them: tag and look-up in one call of the native core, without the GIL."""

from cpython.pycapsule cimport PyCapsule_Import
from libc.stdint cimport int32_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc


cdef extern from "ronkms_native.h":
    ctypedef struct Arena "struct ronkms_arena":
        pass
    ctypedef struct Bytes "struct ronkms_bytes":
        const uint8_t* data
        size_t length
    ctypedef struct Table "struct ronkms_table":
        uint32_t version
        int32_t (*cache_lookup)(const Arena*, const Bytes*, size_t, uint8_t*) noexcept nogil
        void (*sha256)(Bytes, uint8_t*) noexcept nogil
    const uint32_t RONKMS_TABLE_VERSION

cdef enum:
    PARTS = 6


def look_up(arena, list entries, long count, int digest_part=-1):
    """Looks ``count`` of ``entries`` up, in turn; returns how many were hits.

    An entry is a tuple of six parts. The one at ``digest_part`` is replaced by its SHA-256, computed each time.
    """
    cdef const Table* native = <const Table*>PyCapsule_Import("ronkms_native._native._C_API", 0)
    if native.version != RONKMS_TABLE_VERSION:
        raise ImportError("ronkms_native is of another build")
    cdef const Arena* shared = <const Arena*><size_t>arena._pointer()
    cdef Py_ssize_t size = len(entries)
    cdef Bytes* known = <Bytes*>malloc(PARTS * size * sizeof(Bytes))
    if known == NULL:
        raise MemoryError
    cdef Py_ssize_t i, j
    cdef bytes part
    for i in range(size):
        for j in range(PARTS):
            part = entries[i][j]
            known[PARTS * i + j].data = <const uint8_t*><const char*>part
            known[PARTS * i + j].length = len(part)
    cdef uint8_t[32] tag
    cdef uint8_t[32] digest
    cdef Bytes[PARTS] parts
    cdef long done, hits = 0
    with nogil:
        i = 0
        for done in range(count):
            for j in range(PARTS):
                parts[j] = known[PARTS * i + j]
            if digest_part >= 0:
                native.sha256(parts[digest_part], digest)
                parts[digest_part].data = digest
                parts[digest_part].length = 32
            hits += native.cache_lookup(shared, parts, PARTS, tag) >= 0
            i += 1
            if i == size:
                i = 0
    free(known)
    return hits
