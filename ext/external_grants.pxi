# What the external policy was heard to allow (service/hot_path.py): without one of these nothing is answered.

cdef class Grant(_Taught):
    """That one token may do one operation on one key from one peer.

    ``until``: CLOCK_MONOTONIC in nanoseconds. ``keyring``, ``policy``, ``external``: the generations that it holds
    under, with that of capabilities.
    """

    cdef int64_t until
    cdef uint64_t keyring
    cdef uint64_t capability
    cdef uint64_t policy
    cdef uint64_t external

    def __init__(self, *, int64_t until, uint64_t keyring, uint64_t capability, uint64_t policy,
                 uint64_t external):
        self.until = until
        self.keyring = keyring
        self.capability = capability
        self.policy = policy
        self.external = external


cdef inline int64_t _monotonic_nanoseconds() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1000000000 + now.tv_nsec
