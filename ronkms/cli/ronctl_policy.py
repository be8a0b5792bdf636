"""``ronctl policy``: the post-quantum policy of tenants and keys; the external policy."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from ronkms.capability.possession import prove
from ronkms.cli.ronctl_admin import ask
from ronkms.cli.ronctl_parameters import duration, read_text, secretive
from ronkms.cli.ronctl_parameters import key_id as checked_key_id
from ronkms.cli.ronctl_policy_external import external
from ronkms.cli.ronctl_target import Target, pass_target
from ronkms.policy.entry import exception_statement
from ronkms.policy.pq import VerifyMode
from ronkms.server.admin_policy_messages import (
    EndArguments,
    ExceptArguments,
    InspectArguments,
    LockArguments,
    PolicyView,
    SetArguments,
    UnsetArguments,
)

_MODE: Final = click.Choice([mode.value for mode in VerifyMode])
DEFAULT_VALID: Final = "1h"
_SETTINGS: Final = ("verify-mode", "produce-hybrid", "rollout-percent")


def _key_scope(value: str) -> str:
    return checked_key_id(value) if value else ""


def _scope(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--key", "key_id", type=_key_scope, default="", help="One key of the tenant.")(
        command
    )
    return click.option("--tenant", required=True, help="Owner of the keys.")(command)


@click.group()
def policy() -> None:
    """Post-quantum policy (verify mode, hybrid rollout, locks, exceptions); the external policy."""


@policy.command("set")
@_scope
@click.option("--verify-mode", type=_MODE, help="Which components of a signature must verify.")
@click.option("--produce-hybrid", type=bool, help="true: keys that the rollout selects sign hybrid.")
@click.option("--rollout-percent", type=click.IntRange(0, 100), help="Share of the keys that sign hybrid.")
@pass_target
def set_command(
    target: Target,
    tenant: str,
    key_id: str,
    verify_mode: str | None,
    produce_hybrid: bool | None,
    rollout_percent: int | None,
) -> None:
    """Sets what is given, in all workers at once; the rest stays as it is."""
    mode = None if verify_mode is None else VerifyMode(verify_mode)
    arguments = SetArguments(tenant, key_id, mode, produce_hybrid, rollout_percent)
    _show(ask(target.data_directory, "policy.set", PolicyView, arguments))


@policy.command()
@_scope
@click.option(
    "--only", type=click.Choice(_SETTINGS), multiple=True, help="Only this setting; repeatable. Default: all."
)
@pass_target
def unset(target: Target, tenant: str, key_id: str, only: tuple[str, ...]) -> None:
    """Inherits again: a key from its tenant, a tenant from the server's settings."""
    chosen = [name in (only or _SETTINGS) for name in _SETTINGS]
    _show(ask(target.data_directory, "policy.unset", PolicyView, UnsetArguments(tenant, key_id, *chosen)))


@policy.command()
@_scope
@pass_target
def inspect(target: Target, tenant: str, key_id: str) -> None:
    """Shows what holds, where it comes from, locks and exceptions."""
    _show(ask(target.data_directory, "policy.inspect", PolicyView, InspectArguments(tenant, key_id)))


@policy.command()
@_scope
@pass_target
def lock(target: Target, tenant: str, key_id: str) -> None:
    """From now on the mode only goes on: or, pq_only, and. There is no unlock; see 'except'."""
    _show(ask(target.data_directory, "policy.lock", PolicyView, LockArguments(tenant, key_id)))


def _exception(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--ttl", type=duration, required=True, help="How long, up to 30d."),
        click.option("--verify-mode", type=_MODE, required=True, help="The mode that holds meanwhile."),
        click.option("--reason", required=True, help="Why."),
        click.option("--name", required=True, help="Name of the exception, as in a ticket."),
    ):
        command = option(command)
    return _scope(command)


@policy.command("except")
@_exception
@click.option(
    "--requester",
    type=secretive,
    required=True,
    help="Your admin capability, or what 'approve' made of it: @FILE, or '-' for stdin.",
)
@click.option(
    "--approver", type=secretive, required=True, help="The second admin's capability or approval: @FILE."
)
@pass_target
def except_command(
    target: Target,
    tenant: str,
    key_id: str,
    name: str,
    reason: str,
    verify_mode: str,
    ttl: int,
    requester: str,
    approver: str,
) -> None:
    """Lets another mode hold for a while, whatever is locked. Takes the capabilities of two admins, or their
    approvals of just this (see 'approve')."""
    arguments = ExceptArguments(
        tenant=tenant,
        key_id=key_id,
        name=name,
        reason=reason,
        verify_mode=VerifyMode(verify_mode),
        ttl=ttl,
        requester_token=requester,
        approver_token=approver,
    )
    _show(ask(target.data_directory, "policy.except", PolicyView, arguments))


@policy.command()
@_exception
@click.option(
    "--token", type=secretive, required=True, help="Your admin capability: @FILE, or '-' for stdin."
)
@click.option("--valid", type=duration, default=DEFAULT_VALID, help="How long it may be used, up to 24h.")
@pass_target
def approve(
    target: Target,
    tenant: str,
    key_id: str,
    name: str,
    reason: str,
    verify_mode: str,
    ttl: int,
    token: str,
    valid: int,
) -> None:
    """Prints the approval of an exception, offline: your capability, and a signature over just this exception
    by the key of the client certificate that it is bound to (--client-cert, --client-key of ronctl).

    Give it to 'except' as --requester or --approver."""
    if not target.client_cert:
        raise click.UsageError(
            "name the certificate: ronctl --client-cert FILE --client-key FILE policy approve"
        )
    statement = exception_statement(
        tenant=tenant,
        key_id=key_id,
        name=name,
        reason=reason,
        verify_mode=VerifyMode(verify_mode),
        ttl=ttl,
    )
    certificate = Path(target.client_cert)
    key = Path(target.client_key or target.client_cert)
    proof = prove(
        token,
        statement=statement,
        until=int(time.time()) + valid,
        certificate=read_text(certificate).encode(),
        key=read_text(key).encode(),
    )
    click.echo(proof)


@policy.command()
@_scope
@click.option("--name", required=True, help="Of the exception.")
@pass_target
def end(target: Target, tenant: str, key_id: str, name: str) -> None:
    """Ends an exception before its time."""
    _show(ask(target.data_directory, "policy.end", PolicyView, EndArguments(tenant, name, key_id)))


policy.add_command(external)


def _show(view: PolicyView) -> None:
    excluded = ", classical algorithms excluded" if view.classical_excluded else ""
    click.echo(f"tenant              {view.tenant}")
    if view.key_id:
        click.echo(f"key                 {view.key_id}")
    click.echo(f"verify_mode         {view.verify_mode}{excluded}")
    click.echo(f"pq_verify_mode      {view.configured_verify_mode}  ({view.verify_mode_source})")
    click.echo(f"pq_produce_hybrid   {str(view.produce_hybrid).lower()}  ({view.produce_hybrid_source})")
    click.echo(f"rollout_percent     {view.rollout_percent}  ({view.rollout_percent_source})")
    if view.selected is not None:
        click.echo(f"pq_selected         {str(view.selected).lower()}")
    for lock in view.locks:
        without = ", classical algorithms excluded" if lock.classical_excluded else ""
        click.echo(f"lock                {lock.scope}: verify_mode {lock.verify_mode} or stricter{without}")
    for one in view.exceptions:
        until = datetime.fromtimestamp(one.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        click.echo(f"exception           {one.scope} {one.name}: verify_mode {one.verify_mode} until {until}")
        click.echo(f"                    by {one.requested_by} and {one.approved_by}: {one.reason}")
