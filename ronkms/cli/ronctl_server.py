"""``ronctl status`` and ``tail``: the running server."""

from __future__ import annotations

import time

import click
import msgspec

from ronkms.bus.event import Event
from ronkms.bus.local import tail as tail_events
from ronkms.cli.ronctl_admin import ask
from ronkms.cli.ronctl_parameters import duration
from ronkms.cli.ronctl_target import Target, pass_target
from ronkms.errors import StartError, Unavailable
from ronkms.server.admin_messages import Status


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@pass_target
def status(target: Target, as_json: bool) -> None:
    """Shows where the server is and how it stands. Exit status 4 if it is not ready or does not run."""
    found = ask(target.data_directory, "status", Status)
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        click.echo(f"version          {found.version}")
        click.echo(f"pid              {found.pid}")
        click.echo(f"api              {'https' if found.tls else 'http'}://{found.api}")
        click.echo(f"health, metrics  http://{found.metrics}")
        click.echo(f"data directory   {target.data_directory}")
        click.echo(f"capability root  {found.capability_root}")
        click.echo(f"ready            {'no' if found.missing else 'yes'}")
    if found.missing:
        raise Unavailable("not ready: " + "; ".join(found.missing))


@click.command()
@click.option("--topic", type=click.Choice(["kms"]), default="kms", help="Topic of the bus.")
@click.option("--since", type=duration, default=600, help="How far back, as in 10m (the default).")
@click.option("--follow", "-f", is_flag=True, help="Go on with events as they come.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@pass_target
def tail(target: Target, topic: str, since: int, follow: bool, as_json: bool) -> None:
    """Prints bus events, the oldest first. Works without a server."""
    if not (target.data_directory / "bus").is_dir():
        raise StartError(f"{target.data_directory} holds no bus events; name another --data-dir")
    for event in tail_events(target.data_directory / "bus", time.time() - since, follow=follow):
        click.echo(msgspec.json.encode(event).decode() if as_json else _logfmt(topic, event))


def _logfmt(topic: str, event: Event) -> str:
    fields = {"topic": topic, "event": event.event, **event.fields}
    pairs = " ".join(f"{name}={_value(value)}" for name, value in fields.items())
    return f"time={event.time.isoformat().replace('+00:00', 'Z')} seq={event.seq} {pairs}"


def _value(value: str | int) -> str:
    text = str(value)
    plain = text.isascii() and text.isprintable() and text and not any(char in ' "=' for char in text)
    return text if plain else msgspec.json.encode(text).decode()
