"""``ronctl cap``: capabilities. ``attenuate`` and ``inspect`` need no server."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from ronkms.capability.attenuate import Attenuation, attenuate
from ronkms.capability.inspection import inspect_token, last_block_id
from ronkms.capability.mint import DEFAULT_OVERLAP_SECONDS
from ronkms.cli.ronctl_admin import ask
from ronkms.cli.ronctl_parameters import OPERATION, duration, secretive
from ronkms.cli.ronctl_target import Target, pass_target
from ronkms.domain.algorithm import ALGORITHMS
from ronkms.domain.operation import Operation
from ronkms.server.admin_messages import (
    CapabilityRoots,
    MintArguments,
    MintedToken,
    RevokeArguments,
    RevokedBlock,
    RevokedBlocks,
    RootNumber,
    RotateArguments,
    WithdrawArguments,
)

_HEX: Final = re.compile(r"[0-9a-f]{32,}")


def _fingerprint(
    context: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    """Also as ``openssl x509 -fingerprint`` prints it."""
    return tuple(text.replace(":", "").lower() for text in given)


_client_cert: Final = click.option(
    "--client-cert-sha256",
    "client_certs",
    metavar="HEX",
    multiple=True,
    callback=_fingerprint,
    help="Only over a connection with the client certificate of this SHA-256 (of its DER); repeatable.",
)


@click.group()
def cap() -> None:
    """Capabilities: mint, attenuate, inspect, revoke."""


@cap.command()
@click.option("--tenant", required=True, help="Owner of the keys that the token reaches.")
@click.option("--op", "ops", type=OPERATION, multiple=True, required=True, help="An operation; repeatable.")
@click.option(
    "--key", "keys", multiple=True, required=True, help="A key id or pattern, '*' for all; repeatable."
)
@click.option("--ttl", type=duration, required=True, help="Life of the token, as in 1h.")
@_client_cert
@pass_target
def mint(
    target: Target,
    tenant: str,
    ops: tuple[str, ...],
    keys: tuple[str, ...],
    ttl: int,
    client_certs: tuple[str, ...],
) -> None:
    """Prints a new token, alone, on standard output."""
    arguments = MintArguments(tenant, [Operation(op) for op in ops], ttl, list(keys), list(client_certs))
    minted = ask(target.data_directory, "cap.mint", MintedToken, arguments)
    click.echo(minted.token)
    click.echo(f"token id {minted.token_id}, expires {_time(minted.expires_at)}", err=True)


@cap.command("attenuate")
@click.argument("token", type=secretive, default="-")
@click.option("--op", "ops", type=OPERATION, multiple=True, help="Only this operation; repeatable.")
@click.option(
    "--key", "keys", multiple=True, help="Only this key id, or those that begin so (PREFIX*); repeatable."
)
@click.option(
    "--alg", "algs", type=click.Choice(list(ALGORITHMS)), multiple=True, help="Only this algorithm."
)
@click.option(
    "--digest", "digests", multiple=True, help="Sign only the message with this SHA-256 (hex); repeatable."
)
@click.option(
    "--message-file",
    "messages",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Sign only the content of this file; repeatable.",
)
@click.option("--ttl", type=duration, help="Only for so long from now, as in 10m.")
@_client_cert
def attenuate_command(token: str, ttl: int | None, messages: tuple[Path, ...], **only: Any) -> None:
    """Prints a token that may do less than TOKEN (or '-': standard input, '@FILE'). Offline."""
    digests = [digest.lower() for digest in only["digests"]]
    digests += [hashlib.sha256(path.read_bytes()).hexdigest() for path in messages]
    narrowing = Attenuation(
        operations=tuple(Operation(op) for op in only["ops"]),
        keys=only["keys"],
        algs=only["algs"],
        digests=tuple(digests),
        client_certs=only["client_certs"],
        deadline=None if ttl is None else datetime.now(UTC) + timedelta(seconds=ttl),
    )
    click.echo(attenuate(token, narrowing))


@cap.command()
@click.argument("token", type=secretive, default="-")
def inspect(token: str) -> None:
    """Shows what TOKEN (or '-': standard input, '@FILE') says. Offline; proves nothing about it."""
    shown = inspect_token(token)
    click.echo(f"token id   {shown.token_id}")
    click.echo(f"root       {shown.root}")
    click.echo(f"expires    {shown.expires}")
    for number, block in enumerate(shown.blocks):
        click.echo(f"block {number}    revocation id {block.revocation_id}")
        for statement in block.statements:
            click.echo(f"  {statement}")


@cap.command()
@click.argument("revoked", metavar="ID|TOKEN", type=secretive)
@pass_target
def revoke(target: Target, revoked: str) -> None:
    """Refuses every token with that revocation id at once, in all workers.

    Of a TOKEN ('-': standard input, '@FILE') the last block is revoked: it, and what was made from it, but
    not the token it was made from. The audit log's token id revokes a token with all its attenuations.
    """
    block = revoked if _HEX.fullmatch(revoked) else last_block_id(revoked)
    done = ask(target.data_directory, "cap.revoke", RevokedBlock, RevokeArguments(block))
    click.echo(f"revoked {done.id}")


@cap.command("revoked")
@pass_target
def revoked_command(target: Target) -> None:
    """Lists the revocations in force, the newest first."""
    found = ask(target.data_directory, "cap.revoked", RevokedBlocks)
    for block in found.revoked:
        click.echo(f"{block.id}  {_time(block.at)}")
    if found.count > len(found.revoked):
        click.echo(f"and {found.count - len(found.revoked)} older ones", err=True)


@cap.command()
@pass_target
def roots(target: Target) -> None:
    """Lists the roots in use with their public keys; the newest signs new tokens."""
    for root in ask(target.data_directory, "cap.roots", CapabilityRoots).roots:
        end = "" if root.until is None else f"  tokens good until {_time(root.until)}"
        click.echo(f"{root.number}  ed25519/{root.public}  since {_time(root.created_at)}{end}")


@cap.command()
@click.option(
    "--overlap",
    type=duration,
    default=DEFAULT_OVERLAP_SECONDS,
    help="How long tokens of the roots before stay good; 7d by default.",
)
@pass_target
def rotate(target: Target, overlap: int) -> None:
    """Makes a new root for capabilities. (Keys of tenants: ronctl keys rotate.)"""
    done = ask(target.data_directory, "cap.rotate", RootNumber, RotateArguments(overlap))
    click.echo(f"root {done.root} signs from now on")


@cap.command()
@click.argument("root", type=int)
@pass_target
def withdraw(target: Target, root: int) -> None:
    """Refuses every token of ROOT (its number) at once. Rotate first if it is the newest."""
    ask(target.data_directory, "cap.withdraw", RootNumber, WithdrawArguments(root))
    click.echo(f"root {root} withdrawn")


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
