"""Requests whose token is not good enough, or no token at all."""

from __future__ import annotations

import re
from collections.abc import Callable

from biscuit_auth import (
    Biscuit,
    BiscuitBuilder,
    BlockBuilder,
    KeyPair,
    PublicKey,
    UnverifiedBiscuit,
)

from tests.e2e.support.bad_request_case import Case, refused, signing
from tests.e2e.support.bad_request_stage import Stage

SIGN = "/v1/kms/sign"


def _header(name: str, make: Callable[[str], str], status: int = 401, code: str = "unauthenticated") -> Case:
    """``make`` turns the good token into an Authorization header."""

    def raw(stage: Stage) -> bytes:
        headers = (("Authorization", make(stage.tokens["admin"])),)
        return stage.ask(SIGN, signing(), token=None, headers=headers)

    return Case(name, status, code, raw, ("WWW-Authenticate", "Bearer") if status == 401 else None)


def _token(name: str, make: Callable[[str], str], status: int = 401, code: str = "unauthenticated") -> Case:
    return _header(name, lambda token: f"Bearer {make(token)}", status, code)


def _flip(token: str, position: int) -> str:
    other = "A" if token[position] != "A" else "B"
    return token[:position] + other + token[position:][1:]


def _attenuated(
    name: str,
    source: str,
    *,
    status: int = 403,
    code: str = "denied",
    path: str = SIGN,
    method: str = "POST",
    token: str = "admin",
) -> Case:
    """A later block says no, or says yes to what the authority block does not."""

    def raw(stage: Stage) -> bytes:
        headers = (("Authorization", f"Bearer {_append(stage.tokens[token], source)}"),)
        body = signing() if method == "POST" else b""
        return stage.ask(path, body, method=method, token=None, headers=headers)

    return Case(name, status, code, raw)


def _append(token: str, source: str) -> str:
    """The token with one more block, made without the service."""
    named = re.search(r"root\(hex:([0-9a-f]{64})\)", UnverifiedBiscuit.from_base64(token).block_source(0))
    assert named is not None
    root = PublicKey(f"ed25519/{named[1]}")
    return str(Biscuit.from_base64(token, root).append(BlockBuilder(source)).to_base64())


def _self_signed(_token: str) -> str:
    builder = BiscuitBuilder('tenant("default"); right("sign", "*")')
    return str(builder.build(KeyPair().private_key).to_base64())


def _huge(stage: Stage) -> bytes:
    return stage.ask(SIGN, signing(), token=None, headers=(("Authorization", "Bearer " + "A" * 65536),))


def _two_headers(stage: Stage) -> bytes:
    token = stage.tokens["admin"]
    headers = (("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {stage.tokens['foreign']}"))
    return stage.ask(SIGN, signing(), token=None, headers=headers)


UNAUTHENTICATED = [
    refused(
        "no token", 401, "unauthenticated", SIGN, signing(), token=None, header=("WWW-Authenticate", "Bearer")
    ),
    refused("no token, list", 401, "unauthenticated", "/v1/kms/keys", b"", token=None, method="GET"),
    refused("no token, bad JSON", 401, "unauthenticated", SIGN, b"{", token=None),
    refused(
        "no token, wrong type", 401, "unauthenticated", SIGN, b"{}", token=None, content_type="text/plain"
    ),
    refused("expired", 401, "unauthenticated", SIGN, signing(), token="expired"),
    refused("revoked", 401, "unauthenticated", SIGN, signing(), token="revoked"),
    _token("empty token", lambda _: ""),
    _token("not a token", lambda _: "hello"),
    _token("not base64", lambda _: "%%%"),
    _token("truncated by one character", lambda token: token.rstrip("=")[:-1]),
    _token("truncated to half", lambda token: token[: len(token) // 2]),
    _token("four characters more", lambda token: token.rstrip("=") + "AAAA"),
    _token("bit flipped at the front", lambda token: _flip(token, 4)),
    _token("bit flipped in the middle", lambda token: _flip(token, len(token) // 2)),
    _token("bit flipped in the signature", lambda token: _flip(token, len(token) * 3 // 4)),
    _token("signed by another root", _self_signed),
    Case("of 64 KiB", 431, "bad_request", _huge, echoes=False),
    _token("of 8,000 characters", lambda _: "A" * 8000),
    _token("a JWT", lambda _: "eyJhbGciOiJub25lIn0.eyJ0ZW5hbnQiOiJkZWZhdWx0In0."),
    _token("token twice in one header", lambda token: f"{token},{token}"),
    _token("with a second word", lambda token: f"{token} {token}"),
    _header("Basic", lambda token: f"Basic {token}"),
    _header("scheme missing", lambda token: token),
    _header("scheme alone", lambda _: "Bearer"),
    _header("scheme with an underscore", lambda token: f"Bearer_{token}"),
    _header("not ASCII", lambda token: f"Bearer \xff{token[1:]}"),
    Case("two Authorization headers", 401, "unauthenticated", _two_headers),
]

DENIED = [
    refused("no right to sign", 403, "denied", SIGN, signing(), token="verify-only"),
    refused("no right to verify", 403, "denied", "/v1/kms/verify", b"{", token="sign-only"),
    refused("no right, bad JSON", 403, "denied", SIGN, b"{", token="read-only"),
    refused("admin implies nothing", 403, "denied", SIGN, signing(), token="admin-only"),
    refused(
        "no right to create",
        403,
        "denied",
        "/v1/kms/keys",
        {"alg": "Ed25519", "usage": "sign"},
        token="sign-only",
    ),
    refused("no right to rotate", 403, "denied", "/v1/kms/keys/rotate", {"key_id": "ed"}, token="sign-only"),
    refused(
        "no right to rotate, other path", 403, "denied", "/v1/kms/rotate", {"key_id": "ed"}, token="sign-only"
    ),
    refused("no right to disable", 403, "denied", "/v1/kms/keys/ed/disable", b"", token="sign-only"),
    refused("no right to destroy", 403, "denied", "/v1/kms/keys/ed/destroy", b"", token="read-only"),
    refused("no right to read", 403, "denied", "/v1/kms/keys/ed", b"", token="sign-only", method="GET"),
    refused("no right to import", 403, "denied", "/v1/kms/keys/import/params", {}, token="sign-only"),
    refused("key outside the pattern", 403, "denied", SIGN, signing(), token="orders"),
    refused(
        "unknown key outside the pattern", 403, "denied", SIGN, signing(key_id="nothing-here"), token="orders"
    ),
    refused(
        "create outside the pattern",
        403,
        "denied",
        "/v1/kms/keys",
        {"alg": "Ed25519", "usage": "sign", "key_id": "x"},
        token="orders",
    ),
    refused("list with a pattern", 403, "denied", "/v1/kms/keys", b"", token="orders", method="GET"),
    refused("foreign tenant's key", 404, "not_found", SIGN, signing(key_id="theirs")),
    refused("key of the first tenant", 404, "not_found", SIGN, signing(), token="foreign"),
    refused("destroy of a foreign key", 404, "not_found", "/v1/kms/keys/theirs/destroy", b""),
    refused(
        "public part of a foreign key", 404, "not_found", "/v1/kms/keys/theirs/public", b"", method="GET"
    ),
    _attenuated("attenuated to another operation", 'check if operation("verify")'),
    _attenuated("attenuated to another key", 'check if key("orders-1")'),
    _attenuated("attenuated to another algorithm", 'check if alg("ES256")'),
    _attenuated("attenuated to another digest", f'check if digest("{"00" * 32}")'),
    _attenuated(
        "attenuated, deadline passed",
        "check if time($t), $t < 2020-01-01T00:00:00Z",
        status=401,
        code="unauthenticated",
    ),
    _attenuated("attenuated, not good yet", "check if time($t), $t >= 2999-01-01T00:00:00Z"),
    _attenuated("attenuated more often than it says", "check if delegations($d), $d <= 0"),
    _attenuated("bound to a client certificate", f'check if client_cert("{"00" * 32}")'),
    _attenuated(
        "client certificate claimed by a later block",
        f'client_cert("{"00" * 32}"); check if client_cert("{"11" * 32}")',
    ),
    _attenuated("attenuated by a check that never holds", "check if false"),
    _attenuated("attenuated to one key, list", 'check if key("ed")', path="/v1/kms/keys", method="GET"),
    _attenuated("right added by a later block", 'right("sign", "*"); operation("sign")', token="verify-only"),
    _attenuated("tenant added by a later block", 'tenant("default"); right("sign", "ed")', token="read-only"),
    _attenuated(
        "rule added by a later block",
        "right($o, $k) <- operation($o), key($k)",
        status=401,
        code="unauthenticated",
        token="verify-only",
    ),
]

CASES = [*UNAUTHENTICATED, *DENIED]
