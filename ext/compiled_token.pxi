# A capability whose checks are of the closed set, compiled to native predicates that every request evaluates.

from libc.stdlib cimport calloc, free

cdef extern from "<time.h>":
    ctypedef int clockid_t
    cdef struct timespec:
        int64_t tv_sec
        long tv_nsec
    clockid_t CLOCK_REALTIME
    clockid_t CLOCK_BOOTTIME
    clockid_t CLOCK_MONOTONIC
    int clock_gettime(clockid_t, timespec*) noexcept nogil

cdef enum:
    CHECK_TIME = 0
    CHECK_MEMBER = 1
    CHECK_PREFIX = 2
    CHECK_AFFIX = 3
    CHECK_SINCE = 4
    CHECK_DELEGATIONS = 5

    FACT_OPERATION = 0
    FACT_KEY = 1
    FACT_ALG = 2
    FACT_DIGEST = 3
    FACT_CLIENT_CERT = 4
    FACTS = 5

_CHECK_KINDS = {
    "time": CHECK_TIME, "member": CHECK_MEMBER, "prefix": CHECK_PREFIX, "affix": CHECK_AFFIX, "since": CHECK_SINCE,
    "delegations": CHECK_DELEGATIONS,
}

cdef struct Query:
    int kind
    int fact
    # CHECK_TIME: first moment that is too late; CHECK_SINCE: first that is not too early; CHECK_DELEGATIONS: the most.
    int64_t bound
    int first_text
    int texts

cdef struct Text:
    int offset
    int length


cdef inline double _seconds(clockid_t clock) noexcept nogil:
    cdef timespec now
    clock_gettime(clock, &now)
    return <double>now.tv_sec + <double>now.tv_nsec * 1e-9


cdef bint glob_matches(const uint8_t* pattern, Py_ssize_t pattern_len,
                       const uint8_t* text, Py_ssize_t text_len) noexcept nogil:
    """``*`` in the pattern stands for any run of bytes. Takes at most pattern times text steps."""
    cdef Py_ssize_t p = 0, t = 0, star = -1, retry = 0
    while t < text_len:
        if p < pattern_len and pattern[p] == 42:
            star = p
            retry = t
            p += 1
        elif p < pattern_len and pattern[p] == text[t]:
            p += 1
            t += 1
        elif star >= 0:
            p = star + 1
            retry += 1
            t = retry
        else:
            return False
    while p < pattern_len and pattern[p] == 42:
        p += 1
    return p == pattern_len


cdef class CompiledToken(_Taught):
    """What a token grants, as ``capability.token`` parsed it: facts, never a decision.

    ``rights``: (operation index, pattern) pairs. ``checks``: each a list of alternatives ``("time", deadline)``,
    ``("since", start)``, ``("delegations", limit)``, ``("member", fact, texts)``, ``("prefix", fact, text)`` or
    ``("affix", fact, prefix, suffix)``; a fact is 0 operation, 1 key, 2 alg, 3 digest, 4 client_cert.
    ``delegations``: blocks after the authority block. ``deadline``: Unix seconds, the first moment that is too late. ``time_offset``: wall clock minus
    CLOCK_BOOTTIME when the token was first seen, so that a clock set back does not revive it.
    """

    cdef uint64_t generation
    cdef int64_t deadline
    cdef int64_t delegations
    cdef double time_offset
    cdef readonly bytes tenant
    cdef readonly bytes audit_part
    cdef list _patterns
    cdef tuple _operations
    cdef bytes _texts_blob
    cdef Query* _queries
    cdef Text* _texts
    cdef int* _check_ends
    cdef uint8_t* _check_needs_alg
    cdef int _checks

    def __cinit__(self, bytes tenant not None, bytes audit_part not None, int64_t deadline, double time_offset, rights, checks,
                  int64_t delegations):
        cdef int query = 0, text = 0, queries, texts = 0
        self.tenant = tenant
        self.audit_part = audit_part
        self.deadline = deadline
        self.time_offset = time_offset
        self.delegations = delegations
        self._operations = tuple(op for op, _ in rights)
        self._patterns = [pattern for _, pattern in rights]
        flat = [alternative for check in checks for alternative in check]
        queries = len(flat)
        for alternative in flat:
            if alternative[0] == "member":
                texts += len(alternative[2])
            elif alternative[0] in ("prefix", "affix"):
                texts += len(alternative) - 2
        self._queries = <Query*>calloc(queries + 1, sizeof(Query))
        self._texts = <Text*>calloc(texts + 1, sizeof(Text))
        self._check_ends = <int*>calloc(len(checks) + 1, sizeof(int))
        self._check_needs_alg = <uint8_t*>calloc(len(checks) + 1, 1)
        if (self._queries == NULL or self._texts == NULL or self._check_ends == NULL
                or self._check_needs_alg == NULL):
            raise MemoryError
        blob = bytearray()
        for check in checks:
            for alternative in check:
                kind = _CHECK_KINDS[alternative[0]]
                self._queries[query].kind = kind
                if kind in (CHECK_TIME, CHECK_SINCE, CHECK_DELEGATIONS):
                    self._queries[query].bound = alternative[1]
                else:
                    if not 0 <= alternative[1] < FACTS:
                        raise ValueError(f"a check on fact {alternative[1]}, which no request states here")
                    if alternative[1] == FACT_ALG:
                        self._check_needs_alg[self._checks] = True
                    self._queries[query].fact = alternative[1]
                    self._queries[query].first_text = text
                    wanted = sorted(alternative[2]) if kind == CHECK_MEMBER else alternative[2:]
                    self._queries[query].texts = len(wanted)
                    for each in wanted:
                        encoded = each.encode()
                        self._texts[text].offset = len(blob)
                        self._texts[text].length = len(encoded)
                        blob += encoded
                        text += 1
                query += 1
            self._check_ends[self._checks] = query
            self._checks += 1
        self._texts_blob = bytes(blob)

    def __dealloc__(self):
        free(self._queries)
        free(self._texts)
        free(self._check_ends)
        free(self._check_needs_alg)

    def __repr__(self):
        return f"CompiledToken(tenant={self.tenant.decode()!r})"

    cdef int64_t now(self) noexcept:
        """Unix seconds that only go forward, as ``capability.clock.ForwardTime``."""
        cdef double wall = _seconds(CLOCK_REALTIME)
        cdef double elapsed = self.time_offset + _seconds(CLOCK_BOOTTIME)
        return <int64_t>(wall if wall > elapsed else elapsed)

    cdef bint grants(self, int operation) noexcept:
        """Whether some right names the operation."""
        cdef int index
        for index in range(len(self._operations)):
            if <int>self._operations[index] == operation:
                return True
        return False

    cdef bint permits_unseen(self, int operation, Bytes* facts, int64_t now) noexcept:
        """The part of the decision that is taken before the key is looked for: a right covers it, and every check
        that does not name the algorithm holds. ``facts`` by fact number."""
        cdef int index
        cdef bint found = False
        cdef bytes pattern
        for index in range(len(self._operations)):
            if <int>self._operations[index] == operation:
                pattern = <bytes>self._patterns[index]
                if glob_matches(<const uint8_t*><const char*>pattern, len(pattern),
                                facts[FACT_KEY].data, <Py_ssize_t>facts[FACT_KEY].length):
                    found = True
                    break
        return found and self._all_hold(False, facts, now)

    cdef bint permits_seen(self, Bytes* facts, int64_t now) noexcept:
        """The rest: every check that names the algorithm holds."""
        return self._all_hold(True, facts, now)

    cdef bint _all_hold(self, bint with_alg, Bytes* facts, int64_t now) noexcept:
        cdef int query = 0, check
        cdef bint found
        for check in range(self._checks):
            found = self._check_needs_alg[check] != with_alg
            while query < self._check_ends[check]:
                if not found:
                    found = self._holds(&self._queries[query], facts, now)
                query += 1
            if not found:
                return False
        return True

    cdef bint _holds(self, Query* query, Bytes* facts, int64_t now) noexcept:
        cdef const uint8_t* blob = <const uint8_t*><const char*>self._texts_blob
        cdef Bytes fact
        cdef Text* text
        cdef int index
        if query.kind == CHECK_TIME:
            return now < query.bound
        if query.kind == CHECK_SINCE:
            return now >= query.bound
        if query.kind == CHECK_DELEGATIONS:
            return self.delegations <= query.bound
        fact = facts[query.fact]
        if fact.length == 0:
            # Not stated by the request; a stated one is never empty.
            return False
        if query.kind == CHECK_AFFIX:
            return self._is_affixed(fact, &self._texts[query.first_text])
        for index in range(query.first_text, query.first_text + query.texts):
            text = &self._texts[index]
            if query.kind == CHECK_MEMBER:
                if <size_t>text.length != fact.length:
                    continue
            elif <size_t>text.length > fact.length:
                continue
            if memcmp(blob + text.offset, fact.data, text.length) == 0:
                return True
        return False

    cdef bint _is_affixed(self, Bytes fact, Text* affix) noexcept:
        """Whether it begins with the first of two texts and goes on to end with the second."""
        cdef const uint8_t* blob = <const uint8_t*><const char*>self._texts_blob
        cdef size_t prefix = affix[0].length, suffix = affix[1].length
        if fact.length < prefix + suffix:
            return False
        return (memcmp(blob + affix[0].offset, fact.data, prefix) == 0
                and memcmp(blob + affix[1].offset, fact.data + fact.length - suffix, suffix) == 0)

    def decide(self, int operation, bytes key_id not None, bytes alg not None, bytes digest not None,
               bytes client_cert not None, int64_t now):
        """The decision, for the tests that hold it to its twin (``capability.token``)."""
        cdef Bytes facts[FACTS]
        cdef bytes name = _OPERATION_NAMES[operation]
        facts[FACT_OPERATION] = _of(name)
        facts[FACT_KEY] = _of(key_id)
        facts[FACT_ALG] = _of(alg)
        facts[FACT_DIGEST] = _of(digest)
        facts[FACT_CLIENT_CERT] = _of(client_cert)
        return self.permits_unseen(operation, facts, now) and self.permits_seen(facts, now)
