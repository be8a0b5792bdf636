"""Offline attenuation: a holder narrows a token for somebody else, without asking the service.

The checks written here are of the closed set that the service compiles (``checks.py``). The token's own
``root`` fact names the public key that its signature is checked with before a block is added; it is a
convenience for holders, and the service never reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from biscuit_auth import Biscuit, BiscuitValidationError, BlockBuilder, Check, PublicKey, UnverifiedBiscuit

from ronkms.capability.pattern import ANY
from ronkms.domain.algorithm import algorithm
from ronkms.domain.operation import Operation
from ronkms.errors import BadRequest

_ROOT: Final = re.compile(r"^root\(hex:([0-9a-f]{64})\);$", re.MULTILINE)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_CERT: Final = re.compile(r"[0-9a-f]{64}")
_KEY: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}\*?")


@dataclass(frozen=True, slots=True)
class Attenuation:
    """What the new token is narrowed to. An empty field narrows nothing."""

    operations: tuple[Operation, ...] = ()
    keys: tuple[str, ...] = ()
    """Key ids; a ``*`` at the end of one makes it a prefix."""
    algs: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    """Lower-case hex of the SHA-256 of the messages that may be signed."""
    client_certs: tuple[str, ...] = ()
    """Lower-case hex of the SHA-256 of client certificates (DER), of which the connection must show one."""
    deadline: datetime | None = None
    """First moment that is too late; whole seconds."""

    def checks(self) -> list[Check]:
        """The checks of the new block. Raises :class:`BadRequest` for a malformed or empty field set."""
        made = []
        if self.operations:
            made.append(_member("operation", [operation.value for operation in self.operations]))
        if self.keys:
            made.append(self._key_check())
        if self.algs:
            made.append(_member("alg", [algorithm(name).name for name in self.algs]))
        if self.digests:
            for digest in self.digests:
                if _DIGEST.fullmatch(digest) is None:
                    raise BadRequest("a digest is the SHA-256 of the message in 64 lower-case hex digits")
            made.append(_member("digest", list(self.digests)))
        if self.client_certs:
            made.append(client_cert_check(self.client_certs))
        if self.deadline is not None:
            made.append(deadline_check(self.deadline))
        if not made:
            raise BadRequest(
                "name at least one of: operation, key, alg, digest, client certificate, deadline"
            )
        return made

    def _key_check(self) -> Check:
        for key in self.keys:
            if _KEY.fullmatch(key) is None:
                raise BadRequest(f"{key!r} is neither a key id nor a prefix that ends in *")
        literal = {key for key in self.keys if not key.endswith(ANY)}
        prefixes = sorted({key.removesuffix(ANY) for key in self.keys if key.endswith(ANY)})
        queries = ["key($key), {literal}.contains($key)"] if literal else []
        queries += [f"key($key), $key.starts_with({{p{number}}})" for number in range(len(prefixes))]
        parameters = {f"p{number}": prefix for number, prefix in enumerate(prefixes)}
        return Check(
            "check if " + " or ".join(queries), {**parameters, **({"literal": literal} if literal else {})}
        )


def client_cert_check(fingerprints: Iterable[str]) -> Check:
    """Good over a connection with one of these client certificates alone (RFC 8705, section 3).

    ``fingerprints``: SHA-256 of a certificate in DER, lower-case hex. Raises :class:`BadRequest`."""
    wanted = list(fingerprints)
    for fingerprint in wanted:
        if _CERT.fullmatch(fingerprint) is None:
            raise BadRequest(
                "a client certificate is named by the SHA-256 of its DER form in 64 lower-case hex digits"
            )
    return _member("client_cert", wanted)


def deadline_check(deadline: datetime) -> Check:
    """Good before ``deadline`` (aware; whole seconds, rounded down)."""
    return Check("check if time($time), $time < {deadline}", {"deadline": deadline.astimezone(UTC)})


def attenuate(token: str, narrowing: Attenuation) -> str:
    """``token`` with one more block. Raises :class:`BadRequest` for a damaged or sealed token."""
    block = BlockBuilder("")
    for check in narrowing.checks():
        block.add_check(check)
    return read_token(token).append(block).to_base64()


def read_token(token: str) -> Biscuit:
    """The token, its signatures checked with the root that it names. Proves nothing about who issued it.

    Raises :class:`BadRequest`."""
    try:
        named = _ROOT.search(UnverifiedBiscuit.from_base64(token).block_source(0))
        if named is None:
            raise BadRequest("this is a Biscuit token of another issuer: it has no root fact")
        return Biscuit.from_base64(token, PublicKey(f"ed25519/{named[1]}"))
    except BiscuitValidationError:
        raise BadRequest("this is no capability token, or it is damaged") from None


def _member(fact: str, values: list[str]) -> Check:
    return Check(f"check if {fact}($value), {{values}}.contains($value)", {"values": set(values)})
