"""The options that narrow a capability: the same for ``cap mint`` and ``cap attenuate``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from ronkms.capability.attenuate import Attenuation
from ronkms.capability.delegation import MOST
from ronkms.cli.ronctl_parameters import duration, instant
from ronkms.domain.algorithm import ALGORITHMS


def fingerprints(
    context: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    """Each as :func:`fingerprint`."""
    return tuple(map(fingerprint, given))


def fingerprint(text: str) -> str:
    """Of a certificate, also as ``openssl x509 -fingerprint`` prints it."""
    return text.replace(":", "").lower()


def file_digest(path: Path) -> str:
    """Lower-case hex of the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)

_OPTIONS: Final = (
    click.option(
        "--alg",
        "algs",
        type=click.Choice(list(ALGORITHMS)),
        multiple=True,
        help="Only this algorithm; repeatable.",
    ),
    click.option(
        "--digest",
        "digests",
        metavar="HEX",
        multiple=True,
        help="Sign only the message with this SHA-256; repeatable.",
    ),
    click.option(
        "--message-file",
        "messages",
        type=FILE,
        multiple=True,
        help="Sign only the content of this file; repeatable.",
    ),
    click.option(
        "--client-cert-sha256",
        "client_certs",
        metavar="HEX",
        multiple=True,
        callback=fingerprints,
        help="Only over a connection with the client certificate of this SHA-256 (of its DER); repeatable.",
    ),
    click.option("--not-before", type=instant, help="Not before this time, as in 2026-11-24T20:26:58Z."),
    click.option("--deadline", type=instant, help="Only until this time, as in 2026-11-24T20:26:58Z."),
    click.option("--ttl", type=duration, help="Only for so long from now, as in 10m or 1h."),
    click.option(
        "--max-delegations",
        type=click.IntRange(0, MOST),
        metavar="N",
        help="May be attenuated N times at most; 0: not at all.",
    ),
)


def narrowing_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives the command the parameters ``narrowing``, without the time to live, and ``ttl``, in seconds."""

    @wraps(command)
    def narrowed(
        *arguments: Any,
        algs: tuple[str, ...],
        digests: tuple[str, ...],
        messages: tuple[Path, ...],
        client_certs: tuple[str, ...],
        not_before: datetime | None,
        deadline: datetime | None,
        max_delegations: int | None,
        **rest: Any,
    ) -> None:
        narrowing = Attenuation(
            algs=algs,
            digests=(*(digest.lower() for digest in digests), *map(file_digest, messages)),
            client_certs=client_certs,
            not_before=not_before,
            deadline=deadline,
            max_delegations=max_delegations,
        )
        command(*arguments, narrowing=narrowing, **rest)

    for option in reversed(_OPTIONS):
        narrowed = option(narrowed)
    return narrowed


def until(ttl: int | None, deadline: datetime | None) -> datetime | None:
    """The sooner of the two ends; None if there is none."""
    ends = [deadline] if deadline is not None else []
    if ttl is not None:
        ends.append(datetime.now(UTC) + timedelta(seconds=ttl))
    return min(ends, default=None)
