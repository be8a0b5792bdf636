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

from ronkms.capability.delegation import delegation_check, delegation_limit
from ronkms.capability.pattern import ANY
from ronkms.capability.wire_format import MAX_TOKEN
from ronkms.domain.algorithm import algorithm
from ronkms.domain.operation import Operation
from ronkms.errors import BadRequest

_ROOT: Final = re.compile(r"^root\(hex:([0-9a-f]{64})\);$", re.MULTILINE)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_CERT: Final = re.compile(r"[0-9a-f]{64}")
_KEY: Final = re.compile(r"[a-z0-9][a-z0-9._-]*\*?|(?:[a-z0-9][a-z0-9._-]*)?\*[a-z0-9._-]+")
_MAX_KEY: Final = 128


@dataclass(frozen=True, slots=True)
class Attenuation:
    """What a token is narrowed to. An empty field narrows nothing."""

    operations: tuple[Operation, ...] = ()
    keys: tuple[str, ...] = ()
    """Key ids; one ``*`` in each may stand for any run of characters."""
    algs: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    """Lower-case hex of the SHA-256 of the messages that may be signed."""
    client_certs: tuple[str, ...] = ()
    """Lower-case hex of the SHA-256 of client certificates (DER), of which the connection must show one."""
    not_before: datetime | None = None
    """First moment that is not too early; whole seconds."""
    deadline: datetime | None = None
    """First moment that is too late; whole seconds."""
    max_delegations: int | None = None
    """How often the narrowed token may be attenuated again; 0 forbids it."""

    def checks(self, delegations: int) -> list[Check]:
        """The checks of the block, none if nothing is narrowed. ``delegations``: how many blocks the token
        has after its authority block, this one included. Raises :class:`BadRequest`."""
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
        if self.not_before is not None:
            if self.deadline is not None and self.not_before >= self.deadline:
                raise BadRequest("not_before is not before the end: such a token is never good")
            start = self.not_before.astimezone(UTC)
            made.append(Check("check if time($time), $time >= {start}", {"start": start}))
        if self.deadline is not None:
            made.append(deadline_check(self.deadline))
        if self.max_delegations is not None:
            made.append(delegation_check(delegations, self.max_delegations))
        return made

    def _key_check(self) -> Check:
        for key in self.keys:
            if _KEY.fullmatch(key) is None or len(key.replace(ANY, "")) > _MAX_KEY:
                raise BadRequest(f"{key!r} is neither a key id nor one with a single * in it")
        queries: list[str] = []
        parameters: dict[str, object] = {}
        if literal := {key for key in self.keys if ANY not in key}:
            queries.append("key($key), {literal}.contains($key)")
            parameters["literal"] = literal
        for number, key in enumerate(sorted({key for key in self.keys if ANY in key})):
            prefix, _, suffix = key.partition(ANY)
            query = f"key($key), $key.starts_with({{p{number}}})"
            parameters[f"p{number}"] = prefix
            if suffix:
                query += f", $key.ends_with({{s{number}}}), $key.length() >= {len(prefix) + len(suffix)}"
                parameters[f"s{number}"] = suffix
            queries.append(query)
        return Check("check if " + " or ".join(queries), parameters)


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
    """``token`` with one more block. Raises :class:`BadRequest`: damaged, of another issuer, not to be passed
    on, or nothing to narrow."""
    parent = read_token(token)
    delegations = parent.block_count()
    limit = delegation_limit(
        statement
        for block in range(parent.block_count())
        for statement in parent.block_source(block).splitlines()
    )
    if delegations > limit:
        raise BadRequest(f"this token may be passed on {limit} times, and was already; ask for another")
    checks = narrowing.checks(delegations)
    if not checks:
        raise BadRequest(
            "name at least one of: operation, key, alg, digest, client certificate, not before, deadline, "
            "max delegations"
        )
    block = BlockBuilder("")
    for check in checks:
        block.add_check(check)
    attenuated = parent.append(block).to_base64()
    if len(attenuated) > MAX_TOKEN:
        raise BadRequest(f"the token would be over {MAX_TOKEN} characters; name fewer or shorter values")
    return attenuated


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
