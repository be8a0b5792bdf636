# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The hot path of sign and verify: from body bytes to answer bytes."""

include "request_body.pxi"


def parse(bytes body):
    """The members of a known-shape body as a dict, or None: for the tests that hold the parser to its twin."""
    cdef uint8_t scratch[SCRATCH]
    cdef Body parsed
    if not parse_body(body, len(body), scratch, &parsed):
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
