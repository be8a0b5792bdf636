# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, auto_pickle=False
"""The hot path of sign and verify: from body bytes to answer bytes (docs/CONCURRENCY.md, "Hot path").

An :class:`Engine` belongs to one worker process. It serves a request of the known shape, of a token and a key
that it was taught, without building Python objects for what it reads; everything else it declines, and the
general path decides. It never refuses by itself, and what it was taught counts only as long as the
generations in the arena stand where they stood.
"""

from binascii import b2a_base64

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_AsUTF8AndSize

include "request_body.pxi"
include "native_table.pxi"
include "taught_table.pxi"
include "compiled_token.pxi"
include "taught_keys.pxi"
include "external_grants.pxi"

cdef enum:
    OP_SIGN = 0
    OP_VERIFY = 1

    TOKENS = 4096
    # Of 100,000 keys some 200 meet a full set.
    VERIFY_KEYS = 262144
    SIGN_KEYS = 262144
    GRANTS = 16384

    AUDIT_ROOM = 1024

_OPERATION_NAMES = (b"sign", b"verify")

UNKNOWN_KEY = 1
"""The engine declined because it was not taught the key, or the digest key: teach it once the general path has answered."""
UNKNOWN_GRANT = 2
"""It knows the key, but not that the external policy allows this now."""

cdef const uint8_t* _HEX = b"0123456789abcdef"


# Of the digest key before it is taught: no generation is so high.
cdef uint64_t UNTAUGHT = <uint64_t>-1


cdef inline Py_ssize_t _put(uint8_t* out, Py_ssize_t at, const uint8_t* data, Py_ssize_t length) noexcept nogil:
    memcpy(out + at, data, length)
    return at + length


cdef inline void _hex(const uint8_t* data, uint8_t* out) noexcept nogil:
    cdef int index
    for index in range(32):
        out[2 * index] = _HEX[data[index] >> 4]
        out[2 * index + 1] = _HEX[data[index] & 15]


cdef bytes _signed(bytes encoded, tuple parts, Bytes key_id):
    """The answer: what stands before the signature, the signature, what stands before the key id, ..."""
    cdef bytes before = <bytes>parts[0], between = <bytes>parts[1], after = <bytes>parts[2]
    cdef Py_ssize_t at = 0
    cdef bytes answer = PyBytes_FromStringAndSize(
        NULL, len(before) + len(encoded) + len(between) + <Py_ssize_t>key_id.length + len(after))
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(answer)
    at = _put(out, at, <const uint8_t*><const char*>before, len(before))
    at = _put(out, at, <const uint8_t*><const char*>encoded, len(encoded))
    at = _put(out, at, <const uint8_t*><const char*>between, len(between))
    at = _put(out, at, key_id.data, <Py_ssize_t>key_id.length)
    at = _put(out, at, <const uint8_t*><const char*>after, len(after))
    return answer


cdef class Engine:
    """See the module. ``counters``: indices of answered 200 and of audit records. ``outcomes``: of ok and invalid."""

    cdef object _owners
    cdef const Arena* _arena
    cdef const AuditLog* _log
    cdef const MacKey* _mac_key
    cdef object _mac_owner
    cdef bytes _mac_part
    cdef uint64_t _mac_generation
    cdef _TaughtTable _tokens
    cdef _TaughtTable _verify_keys
    cdef _TaughtTable _sign_keys
    cdef _TaughtTable _grants
    cdef int _capability
    cdef int _keyring
    cdef int _policy
    cdef int _external
    cdef int _digest
    cdef uint32_t _ok_counter
    cdef uint32_t _record_counter
    cdef uint32_t _ok
    cdef uint32_t _invalid

    def __init__(self, arena, audit_log, *, generations, counters, outcomes, external=None):
        """``external``: index of the generation of external decisions; None if there is no external policy."""
        self._owners = (arena, audit_log)
        self._arena = <const Arena*><size_t>arena._pointer()
        self._log = <const AuditLog*><size_t>audit_log._pointer()
        self._mac_key = NULL
        self._mac_generation = UNTAUGHT
        self._keyring, self._capability, self._policy, self._digest = generations
        self._ok_counter, self._record_counter = counters
        self._ok, self._invalid = outcomes
        self._tokens = _TaughtTable(TOKENS)
        self._verify_keys = _TaughtTable(VERIFY_KEYS)
        self._sign_keys = _TaughtTable(SIGN_KEYS)
        self._external = -1
        if external is not None:
            self._external = external
            self._grants = _TaughtTable(GRANTS)

    # --- what it is taught ---------------------------------------------------------------------

    def learn_token(self, str token not None, CompiledToken compiled not None, uint64_t generation):
        """``generation``: of capabilities, read before the token was verified."""
        cdef Py_ssize_t length
        cdef const char* text = PyUnicode_AsUTF8AndSize(token, &length)
        self._name_token(<const uint8_t*>text, length, compiled.name)
        compiled.generation = generation
        self._tokens.keep(compiled)

    def learn_digest_key(self, key, int epoch, uint64_t generation):
        """The ``MacKey`` of an epoch of digest keys. ``generation``: read before the epoch."""
        cdef const MacKey* pointer = <const MacKey*><size_t>key._pointer()
        cdef bytes part = b'","dk":%d}' % epoch
        # Two threads may teach one epoch: the key in use is let go only when nothing points to it any more, and
        # nothing up to there lets another thread in.
        former = self._mac_owner
        self._mac_owner = key
        self._mac_key = pointer
        self._mac_part = part
        self._mac_generation = generation
        del former

    cdef bint _digests(self) noexcept:
        """Whether the digest key that it holds is the one in use."""
        return self._mac_generation == native.generation(self._arena, self._digest)

    def learn_verify_key(self, bytes tenant not None, bytes key_id not None, int key_version,
                         VerifyKey entry not None):
        """``key_version`` 0: a request that names none."""
        self._name_key(OP_VERIFY, _of(tenant), _of(key_id), key_version, entry.name)
        self._verify_keys.keep(entry)

    def learn_sign_key(self, bytes tenant not None, bytes key_id not None, SignKey entry not None):
        """Its handle is not kept: it is good as long as its backend keeps it."""
        self._name_key(OP_SIGN, _of(tenant), _of(key_id), 0, entry.name)
        self._sign_keys.keep(entry)

    def learn_grant(self, int operation, str token not None, bytes key_id not None, str client_cert not None,
                    str source not None, Grant grant not None):
        """An allowance of the external policy. ``source``: address of the peer of the connection."""
        cdef uint8_t name[32]
        cdef Py_ssize_t length
        cdef const char* text
        if self._external < 0:
            raise ValueError("there is no external policy")
        text = PyUnicode_AsUTF8AndSize(token, &length)
        self._name_token(<const uint8_t*>text, length, name)
        self._name_grant(operation, name, _of(key_id), client_cert, source, grant.name)
        self._grants.keep(grant)

    cdef void _name_token(self, const uint8_t* token, Py_ssize_t length, uint8_t* name) noexcept:
        cdef Bytes parts[2]
        parts[0] = _view(b"token", 5)
        parts[1] = _view(token, length)
        native.cache_tag(self._arena, parts, 2, name)

    cdef void _name_key(self, int op, Bytes tenant, Bytes key_id, int32_t version, uint8_t* name) noexcept:
        cdef Bytes parts[4]
        parts[0] = _view(b"key s" if op == OP_SIGN else b"key v", 5)
        parts[1] = tenant
        parts[2] = key_id
        parts[3] = _view(<const uint8_t*>&version, 4)
        native.cache_tag(self._arena, parts, 4, name)

    cdef int _name_grant(self, int op, const uint8_t* token, Bytes key_id, str client_cert, str source,
                         uint8_t* name) except -1:
        cdef Bytes parts[5]
        cdef Py_ssize_t length
        cdef const char* text
        parts[0] = _view(b"grant s" if op == OP_SIGN else b"grant v", 7)
        parts[1] = _view(token, 32)
        parts[2] = key_id
        text = PyUnicode_AsUTF8AndSize(client_cert, &length)
        parts[3] = _view(<const uint8_t*>text, length)
        text = PyUnicode_AsUTF8AndSize(source, &length)
        parts[4] = _view(<const uint8_t*>text, length)
        native.cache_tag(self._arena, parts, 5, name)
        return 0

    cdef bint _granted(self, int op, CompiledToken token, Bytes key_id, str client_cert, str source) except -1:
        """Whether the external policy, if there is one, allowed this lately enough."""
        cdef uint8_t name[32]
        cdef Grant grant
        if self._external < 0:
            return True
        self._name_grant(op, token.name, key_id, client_cert, source, name)
        found = self._grants.find(name)
        if found is None:
            return False
        grant = <Grant>found
        return (_monotonic_nanoseconds() < grant.until
                and grant.keyring == native.generation(self._arena, self._keyring)
                and grant.capability == native.generation(self._arena, self._capability)
                and grant.policy == native.generation(self._arena, self._policy)
                and grant.external == native.generation(self._arena, self._external))

    # --- a request -----------------------------------------------------------------------------

    def token(self, int operation, str authorization not None):
        """The token of an ``Authorization`` header if it was taught, stands, and grants the operation on some key.

        None: the general path decides."""
        cdef uint8_t name[32]
        cdef Py_ssize_t length
        cdef const char* text
        cdef CompiledToken token
        text = PyUnicode_AsUTF8AndSize(authorization, &length)
        if length < 8 or memcmp(text, b"Bearer ", 7) != 0:
            return None
        self._name_token(<const uint8_t*>text + 7, length - 7, name)
        found = self._tokens.find(name)
        if found is None:
            return None
        token = <CompiledToken>found
        if token.generation != native.generation(self._arena, self._capability):
            return None
        if token.now() >= token.deadline or not token.grants(operation):
            return None
        return token

    def admit(self, CompiledToken token not None, int operation):
        """A permit (>= 0) of one unit, or negative: the general path refuses."""
        return native.admit(self._arena, operation, _of(token.tenant), 1)

    def release(self, int64_t permit):
        """For a request whose body could not be read."""
        native.release(self._arena, permit)

    def verify(self, CompiledToken token not None, int64_t permit, bytes body not None, str corr_id not None,
               str client_cert not None, str source not None, uint64_t started):
        """The answer's bytes if the verdict is in the cache; None or UNKNOWN_KEY: declined. Takes the permit back.

        ``client_cert``: SHA-256 of the connection's client certificate, lower-case hex; empty for none.
        ``source``: address of its peer.
        ``started``: CLOCK_MONOTONIC in nanoseconds."""
        try:
            return self._verify(token, body, corr_id, client_cert, source, started)
        finally:
            native.release(self._arena, permit)

    cdef object _verify(self, CompiledToken token, bytes body, str corr_id, str client_cert, str source,
                        uint64_t started):
        cdef uint8_t scratch[SCRATCH]
        cdef uint8_t name[32]
        cdef uint8_t tag[32]
        cdef uint8_t digest[32]
        cdef uint8_t digest_hex[64]
        cdef Bytes facts[FACTS]
        cdef Bytes parts[6]
        cdef Body parsed
        cdef VerifyKey entry
        cdef int64_t now
        cdef int32_t verdict
        cdef int needed = FIELD_KEY_ID | FIELD_MESSAGE | FIELD_SIGNATURE
        if not self._digests():
            return UNKNOWN_KEY
        if not parse_body(<const uint8_t*><const char*>body, len(body), scratch, &parsed):
            return None
        if parsed.fields & needed != needed:
            return None
        # As in the general path, what can be decided is decided before the key is looked for.
        native.sha256(_view(parsed.message, parsed.message_len), digest)
        _hex(digest, digest_hex)
        now = token.now()
        self._state(facts, OP_VERIFY, &parsed, digest_hex, client_cert)
        if now >= token.deadline or not token.permits_unseen(OP_VERIFY, facts, now):
            return None
        self._name_key(OP_VERIFY, _of(token.tenant), _view(parsed.key_id, parsed.key_id_len),
                       parsed.key_version, name)
        found = self._verify_keys.find(name)
        if found is None:
            return UNKNOWN_KEY
        entry = <VerifyKey>found
        if (entry.keyring != native.generation(self._arena, self._keyring)
                or entry.policy != native.generation(self._arena, self._policy)):
            return UNKNOWN_KEY
        if parsed.context_len and not entry.context:
            return None
        facts[FACT_ALG] = _of(entry.alg_name)
        if not token.permits_seen(facts, now):
            return None
        if not self._granted(OP_VERIFY, token, facts[FACT_KEY], client_cert, source):
            return UNKNOWN_GRANT
        parts[0] = _view(entry.prefix, 32)
        parts[1] = _view(b"message", 7)
        parts[2] = _view(b"", 0)
        parts[3] = _view(parsed.context, parsed.context_len)
        parts[4] = _view(digest, 32)
        parts[5] = _view(parsed.signature, parsed.signature_len)
        native.cache_tag(self._arena, parts, 6, tag)
        verdict = native.cache_probe(self._arena, tag)
        if verdict < 0 or verdict >= len(entry.answers):
            return None
        answer = entry.answers[verdict]
        if answer is None:
            return None
        valid = entry.valid[verdict]
        if not self._record(token, OP_VERIFY, b"ok" if valid else b"invalid", corr_id, facts[FACT_KEY],
                            entry.audit_part, digest):
            return None
        self._finish(OP_VERIFY, entry.alg, self._ok if valid else self._invalid, token, started)
        return answer

    def sign(self, CompiledToken token not None, int64_t permit, bytes body not None, str corr_id not None,
             str client_cert not None, str source not None, uint64_t started):
        """The answer's bytes; None or UNKNOWN_KEY: declined. Takes the permit back."""
        try:
            return self._sign(token, permit, body, corr_id, client_cert, source, started)
        finally:
            native.release(self._arena, permit)

    cdef object _sign(self, CompiledToken token, int64_t permit, bytes body, str corr_id, str client_cert, str source,
                      uint64_t started):
        cdef uint8_t scratch[SCRATCH]
        cdef uint8_t name[32]
        cdef uint8_t digest[32]
        cdef uint8_t digest_hex[64]
        cdef Bytes facts[FACTS]
        cdef Body parsed
        cdef SignKey entry
        cdef int64_t now
        cdef bytes message, signature, encoded
        cdef int needed = FIELD_KEY_ID | FIELD_MESSAGE
        if not self._digests():
            return UNKNOWN_KEY
        if not parse_body(<const uint8_t*><const char*>body, len(body), scratch, &parsed):
            return None
        if parsed.fields & ~FIELD_CONTEXT != needed:
            return None
        # As in the general path, what can be decided is decided before the key is looked for.
        native.sha256(_view(parsed.message, parsed.message_len), digest)
        _hex(digest, digest_hex)
        now = token.now()
        self._state(facts, OP_SIGN, &parsed, digest_hex, client_cert)
        if now >= token.deadline or not token.permits_unseen(OP_SIGN, facts, now):
            return None
        self._name_key(OP_SIGN, _of(token.tenant), _view(parsed.key_id, parsed.key_id_len), 0, name)
        found = self._sign_keys.find(name)
        if found is None:
            return UNKNOWN_KEY
        entry = <SignKey>found
        if (entry.keyring != native.generation(self._arena, self._keyring)
                or entry.policy != native.generation(self._arena, self._policy)):
            return UNKNOWN_KEY
        if parsed.context_len and not entry.context:
            return None
        facts[FACT_ALG] = _of(entry.alg_name)
        if not token.permits_seen(facts, now):
            return None
        if not self._granted(OP_SIGN, token, facts[FACT_KEY], client_cert, source):
            return UNKNOWN_GRANT
        if entry.cost > 1 and native.top_up(self._arena, permit, entry.cost - 1) != 0:
            return None
        handle = entry.handle()
        if handle is None:  # its locked memory was needed for another key
            return UNKNOWN_KEY
        message = parsed.message[:parsed.message_len]
        try:
            if parsed.context_len:
                signature = handle.sign(message, context=parsed.context[:parsed.context_len])
            else:
                signature = handle.sign(message)
        except Exception:
            # The general path meets it again, and records and answers it.
            return None
        if (native.generation(self._arena, self._keyring) != entry.keyring
                or native.generation(self._arena, self._policy) != entry.policy):
            # Something changed meanwhile, perhaps this key: the general path looks, and signs anew if it may.
            return None
        encoded = b2a_base64(signature, newline=False)
        if not self._record(token, OP_SIGN, b"ok", corr_id, facts[FACT_KEY], entry.audit_part, digest):
            return None
        self._finish(OP_SIGN, entry.alg, self._ok, token, started)
        return _signed(encoded, entry.answer_parts, facts[FACT_KEY])

    cdef int _state(self, Bytes* facts, int operation, Body* parsed, uint8_t* digest_hex, str client_cert) except -1:
        cdef Py_ssize_t length
        cdef const char* text = PyUnicode_AsUTF8AndSize(client_cert, &length)
        facts[FACT_OPERATION] = _view(b"sign", 4) if operation == OP_SIGN else _view(b"verify", 6)
        facts[FACT_KEY] = _view(parsed.key_id, parsed.key_id_len)
        facts[FACT_ALG] = _view(b"", 0)
        facts[FACT_DIGEST] = _view(digest_hex, 64)
        facts[FACT_CLIENT_CERT] = _view(<const uint8_t*>text, length)
        return 0

    cdef bint _record(self, CompiledToken token, int operation, bytes outcome, str corr_id, Bytes key_id,
                      bytes version_part, const uint8_t* digest) except -1:
        """Appends the audit record (docs/formats/audit.md). False: the general path reports why it cannot be."""
        cdef uint8_t line[AUDIT_ROOM]
        cdef uint8_t mac[32]
        cdef uint8_t mac_hex[64]
        cdef Py_ssize_t corr_len, at = 0
        cdef const uint8_t* corr = <const uint8_t*>PyUnicode_AsUTF8AndSize(corr_id, &corr_len)
        cdef Bytes view
        cdef int64_t seq
        if len(token.audit_part) + corr_len + <Py_ssize_t>key_id.length + len(version_part) > AUDIT_ROOM - 256:
            return False
        # Key and number belong together: nothing below lets another thread teach a new one in between.
        if not self._digests() or native.mac(self._mac_key, _view(digest, 32), mac) != 0:
            return False
        _hex(mac, mac_hex)
        if operation == OP_SIGN:
            at = _put(line, at, b'"v":1,"op":"sign","outcome":"', 29)
        else:
            at = _put(line, at, b'"v":1,"op":"verify","outcome":"', 31)
        at = _put(line, at, <const uint8_t*><const char*>outcome, len(outcome))
        at = _put(line, at, b'",', 2)
        at = _put(line, at, <const uint8_t*><const char*>token.audit_part, len(token.audit_part))
        at = _put(line, at, b'"corr_id":"', 11)
        at = _put(line, at, corr, corr_len)
        at = _put(line, at, b'","key_id":"', 12)
        at = _put(line, at, key_id.data, <Py_ssize_t>key_id.length)
        at = _put(line, at, <const uint8_t*><const char*>version_part, len(version_part))
        at = _put(line, at, b'"digest":"', 10)
        at = _put(line, at, mac_hex, 64)
        at = _put(line, at, <const uint8_t*><const char*>self._mac_part, len(self._mac_part))
        view = _view(line, at)
        seq = native.audit_append(self._log, view, 0)
        if seq == RONKMS_WOULD_WAIT:
            with nogil:
                seq = native.audit_append(self._log, view, 1)
        return seq >= 0

    cdef void _finish(self, int operation, int alg, uint32_t outcome, CompiledToken token, uint64_t started) noexcept:
        cdef timespec now
        clock_gettime(CLOCK_MONOTONIC, &now)
        native.count(self._arena, self._record_counter, 1)
        native.count(self._arena, self._ok_counter, 1)
        native.observe(self._arena, operation, alg, outcome, _of(token.tenant),
                       <uint64_t>now.tv_sec * 1000000000 + <uint64_t>now.tv_nsec - started)


def parse(bytes body not None):
    """The members of a known-shape body as a dict, or None: for the tests that hold the parser to its twin."""
    cdef uint8_t scratch[SCRATCH]
    cdef Body parsed
    if not parse_body(<const uint8_t*><const char*>body, len(body), scratch, &parsed):
        return None
    members = {}
    if parsed.fields & FIELD_KEY_ID:
        members["key_id"] = parsed.key_id[:parsed.key_id_len].decode("ascii")
    if parsed.fields & FIELD_MESSAGE:
        members["message"] = parsed.message[:parsed.message_len]
    if parsed.fields & FIELD_SIGNATURE:
        members["signature"] = parsed.signature[:parsed.signature_len]
    if parsed.fields & FIELD_CONTEXT:
        members["context"] = parsed.context[:parsed.context_len]
    if parsed.fields & FIELD_KEY_VERSION:
        members["key_version"] = parsed.key_version
    return members
