# What the engine is taught about keys (service/hot_path.py).
#
# A worker may hold some for each of 100,000 keys, so what is equal for many keys is one object that they share,
# and the key id is taken from the request. The collector need not look through them: they refer to bytes, tuples
# of bytes and a weak reference.

@cython.no_gc
cdef class VerifyKey(_Taught):
    """What answers a verification by a stored key: one candidate version, and the answer to each verdict.

    ``prefix``: 32 bytes, the sub-tag of ``service.verdict_cache``. ``answers``: by verdict bits, the answer's
    bytes, or None where an older version would have to be tried. ``audit_part``: JSON of the record
    behind the key id. ``context``: whether the algorithm takes one.
    """

    cdef uint8_t prefix[32]
    cdef uint64_t keyring
    cdef uint64_t policy
    cdef int alg
    cdef bint context
    cdef bytes audit_part
    cdef bytes alg_name
    cdef tuple answers
    cdef tuple valid

    def __init__(self, *, bytes prefix not None, uint64_t keyring, uint64_t policy, int alg, bytes alg_name not None,
                 bint context, bytes audit_part not None, tuple answers not None, tuple valid not None):
        if len(prefix) != 32:
            raise ValueError("a sub-tag has 32 bytes")
        if len(answers) != len(valid):
            raise ValueError("every verdict has its answer")
        memcpy(self.prefix, <const uint8_t*><const char*>prefix, 32)
        self.keyring = keyring
        self.policy = policy
        self.alg = alg
        self.alg_name = alg_name
        self.context = context
        self.audit_part = audit_part
        self.answers = answers
        self.valid = valid


@cython.no_gc
cdef class SignKey(_Taught):
    """What signs with a stored key: a weak reference to the handle of the version that signs, whose method is
    ``sign(message, context=...)``. The handle lives as long as its backend keeps it warm.

    ``answer_parts``: JSON of the answer before the signature, before the key id, behind it. ``audit_part``: JSON of
    the record behind the key id. ``cost``: admission units.
    """

    cdef uint64_t keyring
    cdef uint64_t policy
    cdef int alg
    cdef uint64_t cost
    cdef bint context
    cdef bytes audit_part
    cdef bytes alg_name
    cdef tuple answer_parts
    cdef object handle

    def __init__(self, *, uint64_t keyring, uint64_t policy, int alg, bytes alg_name not None, uint64_t cost,
                 bint context, bytes audit_part not None, tuple answer_parts not None, handle):
        self.keyring = keyring
        self.policy = policy
        self.alg = alg
        self.alg_name = alg_name
        self.cost = cost
        self.context = context
        if len(answer_parts) != 3 or not all(isinstance(part, bytes) for part in answer_parts):
            raise ValueError("an answer has three parts of bytes")
        self.audit_part = audit_part
        self.answer_parts = answer_parts
        self.handle = handle
