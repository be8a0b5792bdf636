"""``ronctl audit witness``: a second process that remembers what the log was."""

from __future__ import annotations

from pathlib import Path

import click

from ronkms.audit.note import NoteKey
from ronkms.audit.witness import Witness
from ronkms.audit.witness_client import submit as submit_checkpoint
from ronkms.cli.ronctl_parameters import verifier_key
from ronkms.cli.ronctl_target import Target, pass_target
from ronkms.config.address import parse_address


@click.group()
def witness() -> None:
    """A witness of the audit log: refuses forks and roll-backs."""


@witness.command()
@click.option("--state", type=click.Path(path_type=Path), required=True, help="Its key and its memory.")
@click.option("--listen", required=True, metavar="IP:PORT")
@click.option("--name", required=True, help="Of the witness's key, such as witness.example.com/w1.")
@click.option("--key", "keys", type=verifier_key, metavar="VKEY", multiple=True, required=True)
def serve(state: Path, listen: str, name: str, keys: tuple[NoteKey, ...]) -> None:
    """Serves; prints its own public key. --key: of the log, as ronctl audit keys prints it.

    To run on another machine, or at least as another user, than the server.
    """
    from ronkms.server.witness_http import serve_witness

    try:
        address = parse_address(listen)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--listen") from None
    made = Witness(state.absolute(), name, keys)
    click.echo(made.key.encoded())
    serve_witness(made, address)


@witness.command()
@click.option("--url", required=True, help="Of the witness.")
@click.option("--key", type=verifier_key, metavar="VKEY", required=True, help="Of the witness.")
@pass_target
def submit(target: Target, url: str, key: NoteKey) -> None:
    """Brings the newest checkpoint to the witness; to run by a timer. Needs no running server.

    Exit status 3 if the witness knows more of the log, or another one: rolled back or forked.
    """
    checkpoint = submit_checkpoint(target.data_directory / "audit", url, key)
    click.echo(f"cosigned: {checkpoint.size} records")
