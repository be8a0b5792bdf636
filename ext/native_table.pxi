# The function table of the native core (ronkms_native.h), taken from its capsule once, at import.

from cpython.pycapsule cimport PyCapsule_Import

cdef extern from "ronkms_native.h":
    ctypedef struct Arena "struct ronkms_arena":
        pass
    ctypedef struct AuditLog "struct ronkms_audit_log":
        pass
    ctypedef struct MacKey "struct ronkms_mac_key":
        pass
    ctypedef struct Bytes "struct ronkms_bytes":
        const uint8_t* data
        size_t length
    ctypedef struct Table "struct ronkms_table":
        uint32_t version
        uint32_t size
        void (*cache_tag)(const Arena*, const Bytes*, size_t, uint8_t*) noexcept nogil
        void (*cache_put)(const Arena*, const uint8_t*, uint8_t, int32_t) noexcept nogil
        int32_t (*cache_get)(const Arena*, const uint8_t*) noexcept nogil
        int64_t (*admit)(const Arena*, uint32_t, Bytes, uint64_t) noexcept nogil
        int64_t (*top_up)(const Arena*, int64_t, uint64_t) noexcept nogil
        int32_t (*release)(const Arena*, int64_t) noexcept nogil
        int32_t (*observe)(const Arena*, uint32_t, uint32_t, uint32_t, Bytes, uint64_t) noexcept nogil
        int32_t (*count)(const Arena*, uint32_t, uint64_t) noexcept nogil
        uint64_t (*generation)(const Arena*, uint32_t) noexcept nogil
        int64_t (*audit_append)(const AuditLog*, Bytes, int32_t) noexcept nogil
        int32_t (*cache_probe)(const Arena*, const uint8_t*) noexcept nogil
        void (*sha256)(Bytes, uint8_t*) noexcept nogil
        int32_t (*mac)(const MacKey*, Bytes, uint8_t*) noexcept nogil
    const int RONKMS_TABLE_VERSION
    const int RONKMS_TAG_BYTES
    const int RONKMS_WOULD_WAIT


cdef const Table* _load_table() except NULL:
    cdef const Table* found = <const Table*>PyCapsule_Import("ronkms_native._native._C_API", 0)
    if found.version != RONKMS_TABLE_VERSION or found.size < sizeof(Table):
        raise ImportError("ronkms_native is of another build: install both wheels of one build")
    return found


cdef const Table* native = _load_table()


cdef inline Bytes _view(const uint8_t* data, Py_ssize_t length) noexcept nogil:
    cdef Bytes view
    view.data = data
    view.length = <size_t>length
    return view


cdef inline Bytes _of(bytes data) noexcept:
    return _view(<const uint8_t*><const char*>data, len(data))
