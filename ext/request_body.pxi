# The known shape of a sign or verify body, parsed without Python objects.
#
# Accepted: one flat JSON object of the members below, each at most once, in any order; strings of printable
# ASCII without escapes; base64 with padding and zero trailing bits; key_version of 1 to 9 digits. Anything
# else, however valid, is None of the fast path's business: the general path decides.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef enum:
    FIELD_KEY_ID = 1
    FIELD_MESSAGE = 2
    FIELD_SIGNATURE = 4
    FIELD_CONTEXT = 8
    FIELD_KEY_VERSION = 16

    MAX_MESSAGE = 65536
    MAX_SIGNATURE = 8192
    MAX_CONTEXT = 255
    MAX_KEY_ID = 128
    SCRATCH = 65536 + 8192 + 255 + 6

cdef struct Body:
    int fields
    int32_t key_version
    const uint8_t* key_id
    Py_ssize_t key_id_len
    const uint8_t* message
    Py_ssize_t message_len
    const uint8_t* signature
    Py_ssize_t signature_len
    const uint8_t* context
    Py_ssize_t context_len

cdef uint8_t _SEXTET[256]
cdef uint8_t _KEY_ID_BYTE[256]

cdef void _fill_tables() noexcept:
    cdef int i
    cdef bytes alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for i in range(256):
        _SEXTET[i] = 0xFF
        _KEY_ID_BYTE[i] = 0
    for i in range(64):
        _SEXTET[<uint8_t>alphabet[i]] = i
    for i in b"abcdefghijklmnopqrstuvwxyz0123456789":
        _KEY_ID_BYTE[i] = 2
    for i in b"._-":
        _KEY_ID_BYTE[i] = 1

_fill_tables()


cdef Py_ssize_t _base64(const uint8_t* text, Py_ssize_t length, uint8_t* out, Py_ssize_t room) noexcept nogil:
    """Decodes canonical RFC 4648 section 4 base64. Returns the length, or -1."""
    cdef Py_ssize_t full, i, written = 0
    cdef uint32_t a, b, c, d
    cdef int pad = 0
    if length == 0:
        return 0
    if length & 3:
        return -1
    if text[length - 1] == 61:
        pad = 2 if text[length - 2] == 61 else 1
    full = length // 4 - (1 if pad else 0)
    if full * 3 + 2 > room:
        return -1
    for i in range(full):
        a = _SEXTET[text[0]]
        b = _SEXTET[text[1]]
        c = _SEXTET[text[2]]
        d = _SEXTET[text[3]]
        if (a | b | c | d) & 0xC0:
            return -1
        out[written] = <uint8_t>((a << 2) | (b >> 4))
        out[written + 1] = <uint8_t>((b << 4) | (c >> 2))
        out[written + 2] = <uint8_t>((c << 6) | d)
        written += 3
        text += 4
    if pad:
        a = _SEXTET[text[0]]
        b = _SEXTET[text[1]]
        if (a | b) & 0xC0:
            return -1
        out[written] = <uint8_t>((a << 2) | (b >> 4))
        written += 1
        if pad == 2:
            if b & 0x0F:
                return -1
        else:
            c = _SEXTET[text[2]]
            if c & 0xC3:
                return -1
            out[written] = <uint8_t>((b << 4) | (c >> 2))
            written += 1
    return written


cdef inline const uint8_t* _skip(const uint8_t* p, const uint8_t* end) noexcept nogil:
    while p < end and (p[0] == 32 or p[0] == 10 or p[0] == 13 or p[0] == 9):
        p += 1
    return p


cdef inline const uint8_t* _string(const uint8_t* p, const uint8_t* end) noexcept nogil:
    """``p`` is behind the opening quote. Returns the closing quote, or NULL for any other string."""
    while p < end and p[0] != 34:
        if p[0] < 32 or p[0] > 126 or p[0] == 92:
            return NULL
        p += 1
    return p if p < end else NULL


cdef bint parse_body(const uint8_t* p, Py_ssize_t length, uint8_t* scratch, Body* out) noexcept nogil:
    """Fills ``out``; decoded members live in ``scratch`` (SCRATCH bytes). False: not the known shape."""
    cdef const uint8_t* end = p + length
    cdef const uint8_t* name
    cdef const uint8_t* value
    cdef Py_ssize_t name_len, value_len, size
    cdef int field, digits
    cdef int32_t number
    cdef Py_ssize_t used = 0
    out.fields = 0
    out.key_version = 0
    out.key_id_len = out.message_len = out.signature_len = out.context_len = 0
    p = _skip(p, end)
    if p >= end or p[0] != 123:
        return False
    p = _skip(p + 1, end)
    while True:
        if p >= end or p[0] != 34:
            return False
        name = p + 1
        p = _string(name, end)
        if p == NULL:
            return False
        name_len = p - name
        if name_len == 6 and memcmp(name, b"key_id", 6) == 0:
            field = FIELD_KEY_ID
        elif name_len == 7 and memcmp(name, b"message", 7) == 0:
            field = FIELD_MESSAGE
        elif name_len == 9 and memcmp(name, b"signature", 9) == 0:
            field = FIELD_SIGNATURE
        elif name_len == 7 and memcmp(name, b"context", 7) == 0:
            field = FIELD_CONTEXT
        elif name_len == 11 and memcmp(name, b"key_version", 11) == 0:
            field = FIELD_KEY_VERSION
        else:
            return False
        if out.fields & field:
            return False
        out.fields |= field
        p = _skip(p + 1, end)
        if p >= end or p[0] != 58:
            return False
        p = _skip(p + 1, end)
        if p >= end:
            return False
        if field == FIELD_KEY_VERSION:
            number = 0
            digits = 0
            if p[0] == 48:
                return False
            while p < end and 48 <= p[0] <= 57 and digits < 10:
                number = number * 10 + (p[0] - 48) if digits < 9 else 0
                digits += 1
                p += 1
            if digits < 1 or digits > 9:
                return False
            out.key_version = number
        else:
            if p[0] != 34:
                return False
            value = p + 1
            p = _string(value, end)
            if p == NULL:
                return False
            value_len = p - value
            p += 1
            if field == FIELD_KEY_ID:
                if value_len < 1 or value_len > MAX_KEY_ID or _KEY_ID_BYTE[value[0]] != 2:
                    return False
                for size in range(1, value_len):
                    if _KEY_ID_BYTE[value[size]] == 0:
                        return False
                out.key_id = value
                out.key_id_len = value_len
            elif field == FIELD_MESSAGE:
                size = _base64(value, value_len, scratch, MAX_MESSAGE + 2)
                if size < 0 or size > MAX_MESSAGE:
                    return False
                out.message = scratch
                out.message_len = size
            elif field == FIELD_SIGNATURE:
                size = _base64(value, value_len, scratch + MAX_MESSAGE + 2, MAX_SIGNATURE + 2)
                if size < 0 or size > MAX_SIGNATURE:
                    return False
                out.signature = scratch + MAX_MESSAGE + 2
                out.signature_len = size
            else:
                size = _base64(value, value_len, scratch + MAX_MESSAGE + MAX_SIGNATURE + 4, MAX_CONTEXT + 2)
                if size < 0 or size > MAX_CONTEXT:
                    return False
                out.context = scratch + MAX_MESSAGE + MAX_SIGNATURE + 4
                out.context_len = size
        p = _skip(p, end)
        if p >= end:
            return False
        if p[0] == 44:
            p = _skip(p + 1, end)
            continue
        if p[0] != 125:
            return False
        return _skip(p + 1, end) == end
