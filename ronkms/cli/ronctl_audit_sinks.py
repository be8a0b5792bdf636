"""``ronctl audit sinks``: how the sinks of the running server stand, and whether one takes a record."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click
import msgspec

from ronkms.cli.ronctl_admin import ask
from ronkms.cli.ronctl_parameters import duration
from ronkms.cli.ronctl_target import Target, pass_target
from ronkms.errors import NotFound, Unavailable
from ronkms.server.admin_messages import AuditSinks, AuditSinkState, SinkArguments, SinkTest

_POLL_SECONDS: Final = 0.05


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.pass_context
def sinks(context: click.Context, as_json: bool) -> None:
    """Shows the audit sinks of the running server. Exit status 4 if one is not up."""
    if context.invoked_subcommand is not None:
        return
    found = ask(context.find_object(Target).data_directory, "audit.sinks", AuditSinks)  # type: ignore[union-attr]
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        _show(found)
    if found.sinks and not found.pid:
        raise Unavailable("the process of the audit sinks does not run; see the server's log")
    ailing = [sink.name for sink in found.sinks if sink.state != "up" or sink.holding]
    if ailing:
        raise Unavailable(f"not well: {', '.join(ailing)}")


@sinks.command()
@click.argument("name")
@click.option(
    "--timeout", type=duration, default=10, help="How long to wait, as in 30s (10s is the default)."
)
@pass_target
def test(target: Target, name: str, timeout: int) -> None:
    """Writes an audit record and waits until the sink NAME has taken it. Exit status 4 if it does not."""
    began = time.monotonic()
    record = ask(target.data_directory, "audit.sinks.test", SinkTest, SinkArguments(name)).record
    while True:
        sink = _find(target.data_directory, name)
        waited = time.monotonic() - began
        if sink.record > record:
            click.echo(f"{name}: record {record} was taken after {waited:.2f} s")
            return
        if waited >= timeout:
            error = sink.reason or sink.last_error or f"{sink.lag} records wait"
            raise Unavailable(f"{name}: record {record} was not taken within {timeout} s: {error}")
        time.sleep(_POLL_SECONDS)


def _find(data_directory: Path, name: str) -> AuditSinkState:
    for sink in ask(data_directory, "audit.sinks", AuditSinks).sinks:
        if sink.name == name:
            return sink
    raise NotFound(f"there is no audit sink {name} any more")


def _show(found: AuditSinks) -> None:
    if not found.sinks:
        click.echo("no audit sinks; the setting is audit_sinks")
        return
    for sink in found.sinks:
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(sink.since))
        click.echo(f"{sink.name}  {sink.target}")
        click.echo(f"  policy      {sink.policy}{', holds operations back' if sink.holding else ''}")
        click.echo(f"  format      {sink.format}")
        click.echo(f"  state       {sink.state} since {since}{f': {sink.reason}' if sink.reason else ''}")
        click.echo(f"  next        record {sink.record} of {found.records}, {sink.lag} wait")
        click.echo(f"  delivered   {sink.delivered}, dropped {sink.dropped}, cut {sink.cut}")
        click.echo(
            f"  errors      {sink.errors}{f', the last: {sink.last_error}' if sink.last_error else ''}"
        )
