"""``ronctl policy external``: how the external policy stands, a question on trial, forgetting decisions."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from ronkms.cli.ronctl_admin import ask
from ronkms.cli.ronctl_parameters import key_id as checked_key_id
from ronkms.cli.ronctl_target import Target, pass_target
from ronkms.policy.external.decisions import ALLOWED
from ronkms.server.admin_external_policy_messages import ExternalArguments, ExternalView, Flushed


@click.command()
@click.option("--op", "action", default="", help="Ask about this: sign, datakey, destroy_key, ...")
@click.option("--tenant", default="", help="With --op: owner of the key. Default: that of ronctl.")
@click.option("--key", "key_id", default="", help="With --op: the key; its facts are the stored ones.")
@click.option("--alg", default="", help="With --op: another algorithm than the key's.")
@click.option("--token-id", default="", help="With --op: the capability's id, as in the audit log.")
@click.option("--client-cert-sha256", default="", help="With --op: of the client's certificate.")
@click.option("--source", default="", help="With --op: address of the client.")
@click.option("--items", type=click.IntRange(1, 1000), default=1, help="With --op: size of the batch.")
@click.option("--flush", is_flag=True, help="End all decisions that workers remember, at once.")
@pass_target
def external(
    target: Target,
    action: str,
    tenant: str,
    key_id: str,
    alg: str,
    token_id: str,
    client_cert_sha256: str,
    source: str,
    items: int,
    flush: bool,
) -> None:
    """Shows how the external policy stands; with --op also asks it, past cache and breaker.

    Exit status 1 if it was asked and does not allow."""
    if not action and any((tenant, key_id, alg, token_id, client_cert_sha256, source, items != 1)):
        raise click.UsageError("facts of a question go with --op")
    if flush:
        ask(target.data_directory, "policy.external.flush", Flushed)
    arguments = ExternalArguments(
        action,
        tenant or (target.tenant if action else ""),
        checked_key_id(key_id) if key_id else "",
        alg,
        token_id,
        client_cert_sha256,
        source,
        items,
    )
    view = ask(target.data_directory, "policy.external", ExternalView, arguments)
    _show(view)
    if view.tried is not None and view.tried.decision != ALLOWED:
        raise click.exceptions.Exit(1)


def _show(view: ExternalView) -> None:
    click.echo(f"url                 {view.url}")
    click.echo(f"answers             {str(view.up).lower()}")
    if view.fault:
        click.echo(f"fault               {view.fault}")
    click.echo(f"fail_open           {', '.join(view.fail_open) or '-'}")
    click.echo(f"fail_closed         {', '.join(view.fail_closed) or '-'}")
    for row in view.workers:
        when = datetime.fromtimestamp(row.fault_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        fault = f"  last fault {row.fault} at {when}" if row.fault else ""
        click.echo(f"worker {row.worker:<13}breaker {row.breaker}{fault}")
    if view.tried is not None:
        click.echo(f"decision            {view.tried.decision}  ({view.tried.milliseconds} ms)")
        if view.tried.reason:
            click.echo(f"reason              {view.tried.reason}")
        if view.tried.decision_id:
            click.echo(f"decision_id         {view.tried.decision_id}")
