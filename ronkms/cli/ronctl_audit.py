"""``ronctl audit``: proves the audit log. ``verify`` and ``export`` need no server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click
import msgspec

from ronkms.audit.checkpoint_files import CheckpointFiles
from ronkms.audit.log_keys import read_log_keys
from ronkms.audit.note import NoteKey
from ronkms.audit.proof import (
    ConsistencyProof,
    InclusionProof,
    prove_consistency,
    prove_inclusion,
    verify_proof,
)
from ronkms.audit.verify import Anchor, verify_directory
from ronkms.audit.verify_checkpoints import KeptNote
from ronkms.cli.ronctl_admin import ask
from ronkms.cli.ronctl_audit_digest import (
    destroy_digest_key,
    digest,
    digest_keys,
    escrow_keygen,
    open_escrow_command,
    rotate_digest_key,
)
from ronkms.cli.ronctl_audit_export import export
from ronkms.cli.ronctl_audit_sinks import sinks
from ronkms.cli.ronctl_parameters import DIRECTORY, verifier_key
from ronkms.cli.ronctl_target import Target, pass_target
from ronkms.cli.ronctl_witness import witness
from ronkms.errors import IntegrityError, NotFound
from ronkms.server.admin_messages import AuditHead, AuditKeys

_ANCHOR: Final = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")


def anchor_type(value: str) -> Anchor:
    """RECORDS:HASH. Raises click.BadParameter."""
    found = _ANCHOR.fullmatch(value)
    if found is None:
        raise click.BadParameter("must be RECORDS:HASH, as ronctl audit head prints it")
    return Anchor(int(found[1]), found[2])


_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)
_DIRECTORY: Final = click.argument("directory", type=click.Path(path_type=Path), required=False)


@click.group()
def audit() -> None:
    """The audit log."""


for command in (
    destroy_digest_key,
    digest,
    digest_keys,
    escrow_keygen,
    export,
    open_escrow_command,
    rotate_digest_key,
    witness,
):
    audit.add_command(command)


audit.add_command(sinks)


@audit.command()
@click.argument("directory", type=click.Path(path_type=Path), required=False)
@click.option(
    "--anchor",
    type=anchor_type,
    metavar="RECORDS:HASH",
    help="A head noted earlier: shows a cut end and a log written anew.",
)
@click.option("--archive", type=DIRECTORY, help="Where older segments were copied to: then all is verified.")
@click.option(
    "--archived", is_flag=True, help="Takes missing older segments without a record that they left."
)
@click.option(
    "--key",
    "keys",
    type=verifier_key,
    metavar="VKEY",
    multiple=True,
    help="A public key of the log, as ronctl audit keys prints it; kept elsewhere, it proves who signed.",
)
@click.option(
    "--checkpoint",
    "checkpoints",
    type=_FILE,
    multiple=True,
    help="A checkpoint kept elsewhere: shows a roll-back and a fork.",
)
@click.option("--proof", type=_FILE, help="Verifies this proof or receipt instead of a log.")
@pass_target
def verify(
    target: Target,
    directory: Path | None,
    anchor: Anchor | None,
    archive: Path | None,
    archived: bool,
    keys: tuple[NoteKey, ...],
    checkpoints: tuple[Path, ...],
    proof: Path | None,
) -> None:
    """Verifies every record in DIRECTORY (the data directory's audit log by default). Offline.

    Exit status 3 if a record was changed, removed or reordered, or a checkpoint does not hold.
    """
    place = directory or target.data_directory / "audit"
    if proof is not None:
        click.echo(f"good: {verify_proof(proof.read_bytes(), keys or _own_keys(place))}")
        return
    kept = [KeptNote(str(path), path.read_text(encoding="utf-8")) for path in checkpoints]
    report = verify_directory(place, anchor=anchor, archived=archived, archive=archive, keys=keys, kept=kept)
    for warning in report.warnings:
        click.echo(f"note: {warning}", err=True)
    for problem in report.problems:
        click.echo(f"PROBLEM: {problem}", err=True)
    if not report.good:
        raise IntegrityError(f"{place}: the audit log does not hold after {report.records} records")
    span = f", {report.first_time} to {report.last_time}" if report.records else ""
    count = report.records - report.first_record
    click.echo(f"good: {count} records from number {report.first_record} in {report.segments} segments{span}")
    if report.checkpoints:
        click.echo(f"good: {report.checkpoints} checkpoints")
    click.echo(f"head {report.records}:{report.leaf}")


@audit.command()
@pass_target
def head(target: Target) -> None:
    """Prints the log's end as RECORDS:HASH. Keep it outside the machine, for verify --anchor."""
    found = ask(target.data_directory, "audit.head", AuditHead)
    click.echo(f"{found.records}:{found.leaf}")


@audit.command()
@_DIRECTORY
@pass_target
def keys(target: Target, directory: Path | None) -> None:
    """Prints the public keys of the log, retired ones included, one a line. Give them to the auditor."""
    for key in _keys_of(directory or target.data_directory / "audit"):
        click.echo(key.encoded())


@audit.command("rotate-keys")
@pass_target
def rotate_keys(target: Target) -> None:
    """Makes new keys for checkpoints and prints them."""
    for key in ask(target.data_directory, "audit.rotate", AuditKeys).keys:
        click.echo(key)


@audit.command()
@_DIRECTORY
@pass_target
def checkpoint(target: Target, directory: Path | None) -> None:
    """Prints the newest checkpoint. Keep it outside the machine, for verify --checkpoint."""
    place = directory or target.data_directory / "audit"
    click.echo(CheckpointFiles(place).latest(), nl=False)


@audit.command()
@click.argument("record", type=click.IntRange(min=0), required=False)
@click.option("--from", "old", type=click.IntRange(min=0), metavar="SIZE", help="With --to: consistency.")
@click.option("--to", "size", type=click.IntRange(min=0), metavar="SIZE")
@click.option("--directory", type=click.Path(path_type=Path), help="Of the log.")
@click.option("--archive", type=DIRECTORY, help="Where older segments were copied to.")
@pass_target
def prove(
    target: Target,
    record: int | None,
    old: int | None,
    size: int | None,
    directory: Path | None,
    archive: Path | None,
) -> None:
    """Prints the proof that RECORD (a number) is in the log, or that one size continues another. Offline."""
    place = directory or target.data_directory / "audit"
    proof: InclusionProof | ConsistencyProof
    if record is not None and old is None and size is None:
        proof = prove_inclusion(place, record, archive=archive)
    elif record is None and old is not None and size is not None:
        proof = prove_consistency(place, old, size)
    else:
        raise click.UsageError("give RECORD, or --from and --to")
    click.echo(msgspec.json.encode(proof))


def _own_keys(directory: Path) -> tuple[NoteKey, ...]:
    found = _keys_of(directory)
    click.echo("note: the keys are the directory's own: this proves no identity; give --key", err=True)
    return found


def _keys_of(directory: Path) -> tuple[NoteKey, ...]:
    found = read_log_keys(directory)
    if found is None:
        raise NotFound(f"{directory} has no keys yet; the server makes them at its first start")
    return found.note_keys()
