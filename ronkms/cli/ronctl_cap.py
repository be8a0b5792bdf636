"""``ronctl cap``: capabilities. ``attenuate`` and ``inspect`` need no server."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import click

from ronkms.capability.attenuate import Attenuation, attenuate
from ronkms.capability.inspection import inspect_token, last_block_id
from ronkms.capability.mint import DEFAULT_OVERLAP_SECONDS
from ronkms.cli.ronctl_admin import ask
from ronkms.cli.ronctl_cap_explain import explain_command
from ronkms.cli.ronctl_narrowing import narrowing_options, until
from ronkms.cli.ronctl_parameters import OPERATION, duration, secretive
from ronkms.cli.ronctl_target import Target, pass_target
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


@click.group()
def cap() -> None:
    """Capabilities: mint, attenuate, inspect, explain, revoke."""


cap.add_command(explain_command)


@cap.command()
@click.option("--tenant", required=True, help="Owner of the keys that the token reaches.")
@click.option("--op", "ops", type=OPERATION, multiple=True, required=True, help="An operation; repeatable.")
@click.option(
    "--key", "keys", multiple=True, required=True, help="A key id or pattern, '*' for all; repeatable."
)
@narrowing_options
@pass_target
def mint(
    target: Target,
    tenant: str,
    ops: tuple[str, ...],
    keys: tuple[str, ...],
    ttl: int | None,
    narrowing: Attenuation,
) -> None:
    """Prints a new token, alone, on standard output. Needs --ttl or --deadline.

    What narrows it here holds also for all that is made from it by cap attenuate."""
    arguments = MintArguments(
        tenant,
        [Operation(op) for op in ops],
        ttl,
        list(keys),
        list(narrowing.client_certs),
        list(narrowing.algs),
        list(narrowing.digests),
        narrowing.not_before,
        narrowing.deadline,
        narrowing.max_delegations,
    )
    minted = ask(target.data_directory, "cap.mint", MintedToken, arguments)
    click.echo(minted.token)
    click.echo(f"token id {minted.token_id}, expires {_time(minted.expires_at)}", err=True)
    if minted.notice:
        click.echo(f"notice: {minted.notice}", err=True)


@cap.command("attenuate")
@click.argument("token", type=secretive, default="-")
@click.option("--op", "ops", type=OPERATION, multiple=True, help="Only this operation; repeatable.")
@click.option(
    "--key",
    "keys",
    multiple=True,
    help="Only this key id, or those like it: one * stands for any characters; repeatable.",
)
@narrowing_options
def attenuate_command(
    token: str, ops: tuple[str, ...], keys: tuple[str, ...], ttl: int | None, narrowing: Attenuation
) -> None:
    """Prints a token that may do less than TOKEN (or '-': standard input, '@FILE'). Offline."""
    narrowed = replace(
        narrowing,
        operations=tuple(Operation(op) for op in ops),
        keys=keys,
        deadline=until(ttl, narrowing.deadline),
    )
    click.echo(attenuate(token, narrowed))


@cap.command()
@click.argument("token", type=secretive, default="-")
def inspect(token: str) -> None:
    """Shows what TOKEN (or '-': standard input, '@FILE') says. Offline; proves nothing about it."""
    shown = inspect_token(token)
    click.echo(f"token id   {shown.token_id}")
    click.echo(f"root       {shown.root}")
    click.echo(f"expires    {shown.expires}")
    click.echo(f"delegated  {shown.delegations} of at most {shown.max_delegations} times")
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
