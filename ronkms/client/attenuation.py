"""A holder narrows its capability for somebody else: offline, with the code of ``ronctl cap attenuate``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from ronkms.capability import attenuate as capability
from ronkms.domain.operation import Operation
from ronkms.errors import BadRequest


def attenuate(
    token: str,
    *,
    operations: Iterable[str] = (),
    keys: Iterable[str] = (),
    algs: Iterable[str] = (),
    digests: Iterable[str] = (),
    messages: Iterable[bytes] = (),
    client_certs: Iterable[str] = (),
    not_before: datetime | None = None,
    deadline: datetime | None = None,
    ttl: timedelta | None = None,
    max_delegations: int | None = None,
) -> str:
    """A token that may do what ``token`` may, and of that only what is named here. Asks no server.

    ``operations``: of ``sign``, ``verify`` and so on. ``keys``: key ids, in which one ``*`` stands for any
    characters. ``algs``: names of algorithms; of a key that moved to a hybrid both are needed. ``digests``:
    SHA-256 of what may be signed, lower-case hex, beside those of ``messages``. ``client_certs``: SHA-256 of
    client certificates (DER), lower-case hex; the connection must show one of them. ``not_before``,
    ``deadline``: aware, whole seconds; ``ttl``: from now on. ``max_delegations``: how often the new token
    may be attenuated again, 0 to 15. What is left out is not narrowed; something must be.

    The result is a secret like ``token``. Raises :class:`ronkms.errors.BadRequest`, whose message holds
    neither: a malformed value, nothing to narrow, a damaged token, or one that may not be attenuated.
    """
    ends = [end for end in (deadline, None if ttl is None else datetime.now(UTC) + ttl) if end is not None]
    for moment in (not_before, deadline):
        if moment is not None and moment.tzinfo is None:
            raise BadRequest("not_before and deadline need a time zone, as in datetime.now(UTC)")
    narrowing = capability.Attenuation(
        operations=tuple(map(_operation, operations)),
        keys=tuple(keys),
        algs=tuple(algs),
        digests=(*digests, *(sha256(message).hexdigest() for message in messages)),
        client_certs=tuple(client_certs),
        not_before=not_before,
        deadline=min(ends, default=None),
        max_delegations=max_delegations,
    )
    return capability.attenuate(token, narrowing)


def _operation(name: str) -> Operation:
    try:
        return Operation(name)
    except ValueError:
        raise BadRequest(f"an operation is one of {', '.join(Operation)}") from None
