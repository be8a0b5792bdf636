"""``ronctl config``: the configuration. ``check`` needs no server."""

from __future__ import annotations

import os

import click

from ronkms.cli.ronctl_admin import ask
from ronkms.cli.ronctl_target import Target, pass_target
from ronkms.config.load import CREDENTIALS_VARIABLE, load_settings
from ronkms.server.admin_messages import ConfigText

_SERVICE = "ron-kms"


@click.group()
def config() -> None:
    """The configuration."""


@config.command()
@click.argument("file", type=click.Path())
def check(file: str) -> None:
    """Checks FILE by itself, without the KMS_* variables. Exit status 2 if it is wrong."""
    credentials = {key: value for key, value in os.environ.items() if key == CREDENTIALS_VARIABLE}
    load_settings(credentials, path=file)
    click.echo(f"{file}: good")


@config.command()
@click.argument("service", type=click.Choice([_SERVICE]), default=_SERVICE)
@pass_target
def get(target: Target, service: str) -> None:
    """Prints the settings in force of SERVICE (ron-kms) as TOML."""
    del service  # there is one; operators of several name it
    click.echo(ask(target.data_directory, "config.get", ConfigText).toml, nl=False)
