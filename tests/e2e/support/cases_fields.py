"""Bad requests whose JSON is fine: missing, unknown, duplicate and mistyped members, bad base64, bad ids."""

from __future__ import annotations

from tests.e2e.support.bad_request_case import MESSAGE, Case, bad, refused, signing, verifying, without
from tests.e2e.support.bad_request_stage import b64

SIGN = "/v1/kms/sign"
VERIFY = "/v1/kms/verify"
KEYS = "/v1/kms/keys"
ROTATE = "/v1/kms/keys/rotate"
DATAKEY = "/v1/kms/datakey"
POLICY = "/v1/kms/keys/ed/policy"

NEVER = {"not_before": 2_000_000_000, "not_after": 2_000_000_000}

MEMBERS = [
    bad("sign without key_id", SIGN, without(signing(), "key_id")),
    bad("sign without message", SIGN, without(signing(), "message")),
    bad("empty object", SIGN, {}),
    bad("unknown member", SIGN, signing(colour="red")),
    bad("tenant in the body", SIGN, signing(tenant="other")),
    bad("member in capitals", SIGN, {"Key_id": "ed", "message": MESSAGE}),
    bad("key_version in a sign", SIGN, signing(key_version=1)),
    bad("duplicate key_id", SIGN, b'{"key_id":"ed","key_id":"ec","message":"aGk="}'),
    bad("duplicate message", SIGN, b'{"key_id":"ed","message":"aGk=","message":"aG8="}'),
    bad("duplicate by an escape", SIGN, b'{"key_id":"ed","message":"aGk=","mess\\u0061ge":"aG8="}'),
    bad("verify without signature", VERIFY, without(verifying(), "signature")),
    bad("verify with neither key", VERIFY, without(verifying(), "key_id")),
    bad(
        "verify with both keys", VERIFY, verifying(public_key={"kty": "OKP", "crv": "Ed25519", "x": "A" * 43})
    ),
    bad("wrap without plaintext", "/v1/kms/wrap", {"key_id": "gcm"}),
    bad("unwrap without ciphertext", "/v1/kms/unwrap", {"key_id": "gcm"}),
    bad("rotate without key_id", ROTATE, {}),
    bad("rotate to another algorithm", ROTATE, {"key_id": "ed", "alg": "ES256"}),
    bad("rotate to another algorithm's hybrid", ROTATE, {"key_id": "ed", "alg": "MLDSA65-ECDSA-P256-SHA512"}),
    bad("rotate to no algorithm", ROTATE, {"key_id": "ed", "alg": "nonsense"}),
    bad("rotate to an algorithm that is no text", ROTATE, {"key_id": "ed", "alg": 7}),
    bad("create without alg", KEYS, {"usage": "sign"}),
    bad("create without usage", KEYS, {"alg": "Ed25519"}),
    bad("create with private material", KEYS, {"alg": "Ed25519", "usage": "sign", "seed": b64(bytes(32))}),
]

TYPES = [
    bad("message is a number", SIGN, signing(message=7)),
    bad("message is null", SIGN, signing(message=None)),
    bad("message is an object", SIGN, signing(message={"a": 1})),
    bad("message is an array of numbers", SIGN, signing(message=[104, 105])),
    bad("message is a bool", SIGN, signing(message=True)),
    bad("key_id is a number", SIGN, signing(key_id=7)),
    bad("key_id is null", SIGN, signing(key_id=None)),
    bad("key_id is an array", SIGN, signing(key_id=["ed"])),
    bad("key_version is a float", VERIFY, verifying(key_version=1.5)),
    bad(
        "key_version is a whole float",
        VERIFY,
        b'{"key_id":"ed","key_version":1.0,"message":"","signature":""}',
    ),
    bad("key_version is a bool", VERIFY, verifying(key_version=True)),
    bad("key_version is a string", VERIFY, verifying(key_version="1")),
    bad("key_version is 0", VERIFY, verifying(key_version=0)),
    bad("key_version is negative", VERIFY, verifying(key_version=-1)),
    bad("key_version is 2^32", VERIFY, verifying(key_version=2**32)),
    bad("key_version is 2^64", VERIFY, verifying(key_version=2**64)),
    bad("public_key is a string", VERIFY, {"public_key": "PEM", "message": MESSAGE, "signature": ""}),
    bad("public_key is an array", VERIFY, {"public_key": [], "message": MESSAGE, "signature": ""}),
    bad("labels is an array", KEYS, {"alg": "Ed25519", "usage": "sign", "labels": ["a"]}),
    bad("a label is a number", KEYS, {"alg": "Ed25519", "usage": "sign", "labels": {"a": 1}}),
    bad("65 labels", KEYS, {"alg": "Ed25519", "usage": "sign", "labels": {f"l{n}": "" for n in range(65)}}),
    bad("a label of 129 characters", KEYS, {"alg": "Ed25519", "usage": "sign", "labels": {"a": "x" * 129}}),
    bad("unknown policy", KEYS, {"alg": "Ed25519", "usage": "sign", "policy": {"colour": "red"}}),
    bad("exportable key", KEYS, {"alg": "Ed25519", "usage": "sign", "policy": {"exportable": True}}),
    bad("window that never opens", KEYS, {"alg": "Ed25519", "usage": "sign", "policy": NEVER}),
    bad("min_version of a new key", KEYS, {"alg": "Ed25519", "usage": "sign", "policy": {"min_version": 2}}),
    bad("policy turned exportable", POLICY, {"exportable": True}),
    bad("policy with an unknown member", POLICY, {"max_age": 1}),
    bad("policy that never opens", POLICY, NEVER),
    bad("policy of a window that is text", POLICY, {"not_after": "2030-01-01"}),
    bad("policy of a negative time", POLICY, {"not_before": -1}),
    bad("policy of a time past the year 9999", POLICY, {"not_after": 253_402_300_800}),
    bad("policy of a fractional time", POLICY, {"not_after": 1.5}),
    bad("policy of version 0", POLICY, {"min_version": 0}),
    bad("policy of a version that is not there", POLICY, {"min_version": 99}),
    bad("policy of no version", POLICY, {"min_version": None}),
    bad("rotation every 59 seconds", POLICY, {"rotation_period_seconds": 59}),
    bad("rotation every century", POLICY, {"rotation_period_seconds": 3_155_760_000}),
    bad("policy mu of an algorithm without", POLICY, {"mu": True}),
    bad("policy without a body", POLICY, b""),
    refused("policy of no key", 404, "not_found", "/v1/kms/keys/nothing-here/policy", {"not_after": 1}),
    bad("policy is a string", KEYS, {"alg": "Ed25519", "usage": "sign", "policy": "mu"}),
    bad("datakey of 0 bytes", DATAKEY, {"key_id": "gcm", "bytes": 0}),
    bad("datakey of 33 bytes", DATAKEY, {"key_id": "gcm", "bytes": 33}),
    bad("datakey of 2^63 bytes", DATAKEY, {"key_id": "gcm", "bytes": 2**63}),
    bad("datakey, plaintext is a number", DATAKEY, {"key_id": "gcm", "bytes": 32, "plaintext": 1}),
    bad("negative window", "/v1/kms/keys/ed/destroy", {"window_seconds": -1}),
    bad("no algorithm at all", "/v1/kms/keys/ed/policy", {"algs": []}),
    bad("policy without the key's algorithm", "/v1/kms/keys/ed/policy", {"algs": ["ES256"]}),
    bad("policy with an unknown algorithm", "/v1/kms/keys/ed/policy", {"algs": ["Ed25519", "Ed448"]}),
    bad("policy with a wrapping algorithm", "/v1/kms/keys/ed/policy", {"algs": ["Ed25519", "AES-KWP"]}),
    bad("signature format of Ed25519", "/v1/kms/keys/ed/policy", {"signature_formats": ["der"]}),
    bad("policy with an unknown signature format", "/v1/kms/keys/ec/policy", {"signature_formats": ["raw"]}),
    bad("prehashed of null", "/v1/kms/keys/ec/policy", {"prehashed": None}),
    bad("no operation at all", "/v1/kms/keys/ed/policy", {"max_operations": 0}),
    bad("more operations than JSON counts", "/v1/kms/keys/ed/policy", {"max_operations": 2**53}),
    bad("stage of 0 percent", "/v1/kms/keys/ed/disable", {"percent": 0}),
    bad("stage of 101 percent", "/v1/kms/keys/ed/disable", {"percent": 101}),
    bad("stage of half a percent", "/v1/kms/keys/ed/disable", {"percent": 0.5}),
    bad("stage over no time", "/v1/kms/keys/ed/disable", {"over": 0}),
    bad("stage over more than a year", "/v1/kms/keys/ed/disable", {"over": 31_536_001}),
    bad("stage of one version", "/v1/kms/keys/ed/disable", {"percent": 10, "key_version": 1}),
    bad("dry_run that is no boolean", "/v1/kms/keys/ed/destroy", {"dry_run": "yes"}),
    bad("force that is no boolean", "/v1/kms/keys/ed/destroy", {"force": 1}),
    bad("window of a million years", "/v1/kms/keys/ed/destroy", {"window_seconds": 31_557_600_000_000}),
    bad("state change with an unknown member", "/v1/kms/keys/ed/disable", {"force": True}),
    bad("state change with a bad version", "/v1/kms/keys/ed/disable", {"key_version": 0}),
]

BASE64 = [
    bad("base64 without padding", SIGN, signing(message="aGk")),
    bad("base64 with too much padding", SIGN, signing(message="aGk==")),
    bad("base64 with padding inside", SIGN, signing(message="aG=k")),
    bad("base64 of padding alone", SIGN, signing(message="====")),
    bad("base64url", SIGN, signing(message="-_-_")),
    bad("base64 with a space", SIGN, signing(message="aGVs bG8=")),
    bad("base64 with a line break", SIGN, signing(message="aGVs\nbG8=")),
    bad("base64 with a final line break", SIGN, signing(message="aGVsbG8=\n")),
    bad("base64 outside the alphabet", SIGN, signing(message="aGk!")),
    bad("base64 with a NUL", SIGN, signing(message="aGk\x00")),
    bad("base64 in full-width letters", SIGN, signing(message="ａＧｋ＝")),
    bad("base64 with stray bits", SIGN, signing(message="aGl=")),
    bad("hex for base64", VERIFY, verifying(signature="0x" + "00" * 64)),
    bad("a data URL", SIGN, signing(message="data:;base64,aGk=")),
    bad("base64 of context", SIGN, signing(key_id="ml", context="***")),
    bad("base64 of ciphertext", "/v1/kms/unwrap", {"key_id": "gcm", "ciphertext": "%%%%"}),
]


def _bad_id(name: str, key_id: str) -> list[Case]:
    return [
        bad(f"key id {name}: sign", SIGN, signing(key_id=key_id)),
        bad(f"key id {name}: create", KEYS, {"alg": "Ed25519", "usage": "sign", "key_id": key_id}),
    ]


KEY_IDS = [
    *_bad_id("is empty", ""),
    *_bad_id("of 129 characters", "a" * 129),
    *_bad_id("of 100,000 characters", "a" * 100_000),
    *_bad_id("starts with a dot", ".ed"),
    *_bad_id("starts with a hyphen", "-ed"),
    *_bad_id("in capitals", "ED"),
    *_bad_id("with a space", "e d"),
    *_bad_id("with a slash", "e/d"),
    *_bad_id("of a traversal", "../../seal"),
    *_bad_id("with a final line break", "ed\n"),
    *_bad_id("with a star", "e*"),
    *_bad_id("with a quote", 'ed"'),
    *_bad_id("beyond ASCII", "schlüssel"),
    *_bad_id("with a right-to-left mark", "ed\u200f"),
]

CHOICES = [
    bad("unknown alg", KEYS, {"alg": "RS256", "usage": "sign"}),
    bad("alg none", KEYS, {"alg": "none", "usage": "sign"}),
    bad("alg in small letters", KEYS, {"alg": "ed25519", "usage": "sign"}),
    bad("unknown usage", KEYS, {"alg": "Ed25519", "usage": "encrypt"}),
    bad("usage that the alg has not", KEYS, {"alg": "Ed25519", "usage": "wrap"}),
    bad("usage that the wrapping alg has not", KEYS, {"alg": "AES-256-GCM", "usage": "sign"}),
    bad("unknown backend", KEYS, {"alg": "Ed25519", "usage": "sign", "backend": "floppy"}),
    bad("unknown prehash", SIGN, signing(key_id="ec", prehashed="md5")),
    bad("unknown signature format", SIGN, signing(key_id="ec", signature_format="jose")),
    refused("no version 99", 404, "not_found", VERIFY, verifying(key_version=99)),
    refused("no such key to sign", 404, "not_found", SIGN, signing(key_id="nothing-here")),
    refused("no such key to rotate", 404, "not_found", ROTATE, {"key_id": "nothing-here"}),
    refused(
        "no such key to unwrap",
        404,
        "not_found",
        "/v1/kms/unwrap",
        {"key_id": "nothing-here", "ciphertext": MESSAGE},
    ),
    refused("no version 99 to disable", 404, "not_found", "/v1/kms/keys/ed/disable", {"key_version": 99}),
]

BATCHES = [
    bad("empty batch", SIGN, {"items": []}),
    refused("1,001 items", 413, "too_large", SIGN, {"items": [signing(message="")] * 1001}),
    bad("items beside single members", SIGN, {"items": [signing()], "key_id": "ed"}),
    bad("items is an object", SIGN, {"items": {"0": signing()}}),
    bad("items is null", SIGN, {"items": None}),
    bad("items with another unknown member", VERIFY, {"items": [verifying()], "mode": "or"}),
]

CASES = [*MEMBERS, *TYPES, *BASE64, *KEY_IDS, *CHOICES, *BATCHES]
