# What the engine was taught, by keyed hash of its name: a set-associative table of fixed size.

cdef enum:
    # Places that a name may have: of 1,000 names in 4,096 places one or none meets a full set.
    WAYS = 8


cdef class _Taught:
    """``name``: 32 bytes, the keyed hash that it is found by."""

    cdef uint8_t name[32]


cdef class _TaughtTable:
    """``size``: a power of two, at least WAYS. A full set gives up its entries in turn."""

    cdef list _places
    cdef uint64_t _sets
    cdef uint32_t _turn

    def __cinit__(self, int size):
        self._places = [None] * size
        self._sets = size // WAYS

    cdef inline Py_ssize_t _set(self, const uint8_t* name) noexcept:
        cdef uint64_t word
        memcpy(&word, name, 8)
        return <Py_ssize_t>((word & (self._sets - 1)) * WAYS)

    cdef object find(self, const uint8_t* name):
        """The entry of that name, or None."""
        cdef Py_ssize_t place, first = self._set(name)
        for place in range(first, first + WAYS):
            found = self._places[place]
            if found is not None and memcmp((<_Taught>found).name, name, 32) == 0:
                return found
        return None

    cdef void keep(self, _Taught entry):
        """In the place of the entry of the same name, in a free one, or in another's."""
        cdef Py_ssize_t place, chosen = -1, first = self._set(entry.name)
        for place in range(first, first + WAYS):
            found = self._places[place]
            if found is None:
                if chosen < 0:
                    chosen = place
            elif memcmp((<_Taught>found).name, entry.name, 32) == 0:
                chosen = place
                break
        if chosen < 0:
            self._turn += 1
            chosen = first + <Py_ssize_t>(self._turn % WAYS)
        self._places[chosen] = entry
