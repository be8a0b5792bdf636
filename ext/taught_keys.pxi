# What the engine is taught about keys (service/hot_path.py).

cdef class VerifyKey(_Taught):
    """What answers a verification by a stored key: one candidate version, and the answer to each verdict.

    ``prefix``: 32 bytes, the sub-tag of ``service.verdict_cache``. ``answers``: by verdict bits, the answer's
    bytes, or None where an older version would have to be tried. ``audit_part``: JSON members of the record,
    from ``key_id`` on. ``context``: whether the algorithm takes one.
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

    def __init__(self, *, bytes prefix, uint64_t keyring, uint64_t policy, int alg, bytes alg_name, bint context,
                 bytes audit_part, tuple answers, tuple valid):
        if len(prefix) != 32:
            raise ValueError("a sub-tag has 32 bytes")
        memcpy(self.prefix, <const uint8_t*><const char*>prefix, 32)
        self.keyring = keyring
        self.policy = policy
        self.alg = alg
        self.alg_name = alg_name
        self.context = context
        self.audit_part = audit_part
        self.answers = answers
        self.valid = valid


cdef class SignKey(_Taught):
    """What signs with a stored key: ``sign(message, context=...)`` of the handle of the version that signs.

    ``answer_part``: JSON of the answer behind the signature. ``cost``: admission units.
    """

    cdef uint64_t keyring
    cdef uint64_t policy
    cdef int alg
    cdef uint64_t cost
    cdef bint context
    cdef bytes audit_part
    cdef bytes alg_name
    cdef bytes answer_part
    cdef object sign

    def __init__(self, *, uint64_t keyring, uint64_t policy, int alg, bytes alg_name, uint64_t cost, bint context,
                 bytes audit_part, bytes answer_part, sign):
        self.keyring = keyring
        self.policy = policy
        self.alg = alg
        self.alg_name = alg_name
        self.cost = cost
        self.context = context
        self.audit_part = audit_part
        self.answer_part = answer_part
        self.sign = sign
