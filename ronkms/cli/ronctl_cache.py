"""``ronctl cache``: the verify cache of the running server."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final

import click

from ronkms.cli.ronctl_admin import ask
from ronkms.cli.ronctl_target import SHORT_TTL_SECONDS, Target, pass_target
from ronkms.client.http_client import HttpClient
from ronkms.domain.operation import Operation
from ronkms.errors import Saturated, TenantOverShare
from ronkms.server.admin_messages import SweepArguments, Swept

_VERIFY: Final = "/v1/kms/verify"
_BATCH_ITEMS: Final = 100
_BATCH_BYTES: Final = 4 << 20
"""Far below what the API takes, so that other requests are not kept waiting for long."""
_ATTEMPTS: Final = 30

_Line = tuple[int, str]
"""Its number from 1, and its text."""


@click.group()
def cache() -> None:
    """The verify cache."""


@cache.command()
@click.option("--expired", is_flag=True, help="Drop the expired entries alone.")
@pass_target
def sweep(target: Target, expired: bool) -> None:
    """Drops all cached verdicts; each is computed again when it is next needed."""
    done = ask(target.data_directory, "cache.sweep", Swept, SweepArguments(all=not expired))
    click.echo(f"dropped {done.dropped} entries")


@cache.command()
@click.argument("file", type=click.File(encoding="utf-8"))
@pass_target
def warm(target: Target, file: IO[str]) -> None:
    """Verifies what FILE (- for standard input) lists, so that the verdicts are in the cache.

    A line is the body of one verify request. A capability for verify must reach all keys in it."""
    client, made = target.api([Operation.VERIFY]), time.monotonic()
    counts: Counter[str] = Counter()
    for lines in _batches(file):
        if time.monotonic() - made > SHORT_TTL_SECONDS / 2:
            client, made = target.api([Operation.VERIFY]), time.monotonic()
        _replay(client, lines, counts)
    click.echo(
        f"valid {counts['valid']}, invalid {counts['invalid']}, refused {counts['refused']}; "
        f"{counts['hit']} were in the cache"
    )


def _batches(lines: Iterable[str]) -> Iterator[list[_Line]]:
    batch: list[_Line] = []
    size = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if batch and (len(batch) == _BATCH_ITEMS or size + len(line) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((number, line))
        size += len(line)
    if batch:
        yield batch


def _replay(client: HttpClient, lines: list[_Line], counts: Counter[str]) -> None:
    numbers, items = [], []
    refused: list[_Line] = []
    for number, line in lines:
        try:
            items.append(json.loads(line))
        except (ValueError, RecursionError):
            refused.append((number, "no JSON"))
        else:
            numbers.append(number)
    for number, answer in zip(numbers, _answers(client, items) if items else (), strict=True):
        if "error" in answer:
            refused.append((number, f"{answer['error']['code']}: {answer['error']['detail']}"))
        else:
            result = answer["result"]
            counts["valid" if result["valid"] else "invalid"] += 1
            counts["hit"] += result["cache"] == "hit"
    if refused and not counts["refused"]:
        number, reason = min(refused)
        click.echo(f"line {number} is the first that is refused: {reason}", err=True)
    counts["refused"] += len(refused)


def _answers(client: HttpClient, items: list[Any]) -> list[Any]:
    """Warming gives way to other requests. Raises what the API raises, once it was busy for half a minute."""
    for _ in range(_ATTEMPTS):
        try:
            return list(client.json("POST", _VERIFY, {"items": items})["items"])
        except (Saturated, TenantOverShare):
            time.sleep(1)
    return list(client.json("POST", _VERIFY, {"items": items})["items"])
