"""Bad requests of HTTP and JSON themselves: bodies, encodings, media types, methods, routes."""

from __future__ import annotations

import json

from tests.e2e.support import raw_http
from tests.e2e.support.bad_request_case import Case, bad, refused, signing
from tests.e2e.support.bad_request_stage import Stage, b64

SIGN = "/v1/kms/sign"
GOOD = json.dumps(signing()).encode()
MIB = 1 << 20


def _declared(path: str, length: str, body: bytes = b"{}") -> Case:
    """A Content-Length that is not that of the body."""

    def raw(stage: Stage) -> bytes:
        headers = (("Content-Length", length),)
        return stage.ask(path, body, headers=headers, length=False)

    readable = length.isdigit() and len(length) < 20
    status, code = (413, "too_large") if readable else (400, "bad_request")
    return Case(f"Content-Length {length[:24]}, {path}", status, code, raw, echoes=readable)


def _chunked(name: str, status: int, code: str, body: bytes) -> Case:
    headers = (("Transfer-Encoding", "chunked"),)
    return Case(name, status, code, lambda stage: stage.ask(SIGN, body, headers=headers, length=False))


BODIES = [
    bad("empty body", SIGN, b""),
    bad("blank body", SIGN, b"  \r\n\t "),
    bad("not JSON", SIGN, b"key_id=ed&message=aGk="),
    bad("truncated JSON", SIGN, GOOD[:-7]),
    bad("truncated in a string", SIGN, GOOD[: GOOD.index(b"message") + 3]),
    bad("two documents", SIGN, GOOD + GOOD),
    bad("text after the document", SIGN, GOOD + b"x"),
    bad("trailing comma", SIGN, GOOD[:-1] + b",}"),
    bad("comment", SIGN, b"/* hi */" + GOOD),
    bad("single quotes", SIGN, GOOD.replace(b'"', b"'")),
    bad("NaN", SIGN, b'{"key_id":"ed","message":NaN}'),
    bad("Infinity", SIGN, b'{"key_id":"ed","message":Infinity}'),
    bad("top level array", SIGN, b"[" + GOOD + b"]"),
    bad("top level string", SIGN, b'"ed"'),
    bad("top level number", SIGN, b"1e400"),
    bad("top level null", SIGN, b"null"),
    bad("100,000 arrays deep", SIGN, b"[" * 100_000),
    bad("100,000 arrays deep, closed", SIGN, b"[" * 100_000 + b"]" * 100_000),
    bad("100,000 objects deep", SIGN, b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    bad("deep in a field", SIGN, b'{"key_id":"ed","message":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
    bad("deep in a JWK", "/v1/kms/verify", b'{"public_key":{"kty":' + b"[" * 5_000 + b"]" * 5_000 + b"}}"),
    bad(
        "number of 100,000 digits", "/v1/kms/verify", b'{"key_id":"ed","key_version":' + b"9" * 100_000 + b"}"
    ),
    bad("byte order mark", SIGN, b"\xef\xbb\xbf" + GOOD),
    bad("UTF-16", SIGN, GOOD.decode().encode("utf-16")),
    bad("UTF-32", SIGN, GOOD.decode().encode("utf-32-le")),
    bad("invalid UTF-8", SIGN, b'{"key_id":"ed\xff\xfe","message":"aGk="}'),
    bad("overlong UTF-8", SIGN, b'{"key_id":"\xc1\xa5d","message":"aGk="}'),
    bad("surrogates as UTF-8", SIGN, b'{"key_id":"\xed\xa0\x80","message":"aGk="}'),
    bad("lone surrogate escape", SIGN, b'{"key_id":"\\ud800","message":"aGk="}'),
    bad("surrogates the wrong way round", SIGN, b'{"key_id":"\\udc00\\ud800","message":"aGk="}'),
    bad("broken escape", SIGN, b'{"key_id":"\\u12g4","message":"aGk="}'),
    bad("raw NUL in a string", SIGN, b'{"key_id":"e\x00d","message":"aGk="}'),
    bad("escaped NUL in a string", SIGN, b'{"key_id":"ed\\u0000","message":"aGk="}'),
    bad("NUL bytes alone", SIGN, bytes(64)),
    bad("raw control character", SIGN, b'{"key_id":"e\x1bd","message":"aGk="}'),
    bad("gzip", SIGN, b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + bytes(20)),
]

SIZES = [
    _declared(SIGN, str(64 * MIB)),
    _declared(SIGN, str(10**15)),
    _declared("/v1/kms/keys", str(64 * MIB)),
    _declared(SIGN, "-1"),
    _declared(SIGN, "2, 2"),
    _declared(SIGN, "0x10"),
    _declared(SIGN, "1" + "0" * 5000),
    refused("32 MiB really sent", 413, "too_large", SIGN, b" " * (32 * MIB)),
    refused(
        "4 MiB of labels", 413, "too_large", "/v1/kms/keys", b'{"labels":{"a":"' + b"x" * (4 * MIB) + b'"}}'
    ),
    refused(
        "message of 1 MiB and a byte",
        413,
        "too_large",
        SIGN,
        {"key_id": "ed", "message": b64(bytes(MIB + 1))},
    ),
    refused(
        "plaintext of 64 KiB and a byte",
        413,
        "too_large",
        "/v1/kms/wrap",
        {"key_id": "gcm", "plaintext": b64(bytes(64 * 1024 + 1))},
    ),
    _chunked("chunked, bad JSON", 400, "bad_request", raw_http.chunked(GOOD[:-5])),
    _chunked("chunked, 20 MiB", 413, "too_large", raw_http.chunked(b" " * (20 * MIB), MIB)),
    _chunked("chunked, size is no number", 400, "bad_request", b"zz\r\nhello\r\n0\r\n\r\n"),
    _chunked("chunked, negative size", 400, "bad_request", b"-5\r\nhello\r\n0\r\n\r\n"),
]

MEDIA_TYPES = [
    refused("no Content-Type", 415, "unsupported_media_type", SIGN, GOOD, content_type=None),
    refused("text/plain", 415, "unsupported_media_type", SIGN, GOOD, content_type="text/plain"),
    refused(
        "form", 415, "unsupported_media_type", SIGN, GOOD, content_type="application/x-www-form-urlencoded"
    ),
    refused(
        "multipart", 415, "unsupported_media_type", "/v1/kms/keys", GOOD, content_type="multipart/form-data"
    ),
    refused("application/json5", 415, "unsupported_media_type", SIGN, GOOD, content_type="application/json5"),
]


def _method(method: str, path: str, allow: str) -> Case:
    return Case(
        f"{method} {path}",
        405,
        "method_not_allowed",
        lambda stage: stage.ask(path, method=method),
        ("Allow", allow),
    )


UNROUTED = [
    _method("GET", SIGN, "POST"),
    _method("PUT", SIGN, "POST"),
    _method("DELETE", "/v1/kms/keys/ed", "GET"),
    _method("PATCH", "/v1/kms/keys", "GET, POST"),
    _method("GET", "/v1/kms/keys/ed/enable", "POST"),
    _method("POST", "/v1/kms/keys/ed/public", "GET"),
    _method("BREW", "/v1/kms/verify", "POST"),
    refused("unknown route", 404, "not_found", "/v1/kms/nothing", signing()),
    refused("unknown version of the API", 404, "not_found", "/v2/kms/sign", signing()),
    refused("route with a final slash", 404, "not_found", "/v1/kms/sign/", signing()),
    refused("route in capitals", 404, "not_found", "/V1/KMS/SIGN", signing()),
    refused("unknown action", 404, "not_found", "/v1/kms/keys/ed/explode", b""),
    refused("traversal", 404, "not_found", "/v1/kms/keys/../../../etc/passwd", b"", method="GET"),
    refused("escaped traversal", 404, "not_found", "/v1/kms/keys/..%2f..%2fseal/public", b"", method="GET"),
    refused("dots and a slash as a key id", 404, "not_found", "/v1/kms/keys/..%2fseal", b"", method="GET"),
]
"""No operation of the service is reached, so none is in the audit log."""

READS = [
    bad("dots as a key id", "/v1/kms/keys/..", b"", method="GET"),
    bad("escaped NUL in a path", "/v1/kms/keys/ed%00", b"", method="GET"),
    bad("invalid UTF-8 in a path", "/v1/kms/keys/%ff%fe", b"", method="GET"),
    bad("capitals in a path id", "/v1/kms/keys/ED", b"", method="GET"),
    refused("no such key", 404, "not_found", "/v1/kms/keys/nothing-here", b"", method="GET"),
    refused("no such key to disable", 404, "not_found", "/v1/kms/keys/nothing-here/disable", b""),
    bad("limit of 0", "/v1/kms/keys?limit=0", b"", method="GET"),
    bad("limit of a million", "/v1/kms/keys?limit=1000000", b"", method="GET"),
    bad("limit that is no number", "/v1/kms/keys?limit=ten", b"", method="GET"),
    bad("unknown query parameter", "/v1/kms/keys?offset=3", b"", method="GET"),
    bad("query parameter beside a body", f"{SIGN}?key_version=1", GOOD),
    bad("query parameter of a change", "/v1/kms/keys/ed/disable?key_version=1", b""),
    bad("after that is no key id", "/v1/kms/keys?after=%00", b"", method="GET"),
]

CASES = [*BODIES, *SIZES, *MEDIA_TYPES, *UNROUTED, *READS]
