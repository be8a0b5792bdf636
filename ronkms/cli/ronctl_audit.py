"""``ronctl audit``: proves the audit log. ``verify`` and ``export`` need no server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click

from ronkms.audit.verify import Anchor, verify_directory
from ronkms.cli.ronctl_admin import ask
from ronkms.cli.ronctl_audit_export import export
from ronkms.cli.ronctl_target import Target, pass_target
from ronkms.errors import IntegrityError
from ronkms.server.admin_messages import AuditHead

_ANCHOR: Final = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")


def anchor_type(value: str) -> Anchor:
    """RECORDS:HASH. Raises click.BadParameter."""
    found = _ANCHOR.fullmatch(value)
    if found is None:
        raise click.BadParameter("must be RECORDS:HASH, as ronctl audit head prints it")
    return Anchor(int(found[1]), found[2])


@click.group()
def audit() -> None:
    """The audit log."""


audit.add_command(export)


@audit.command()
@click.argument("directory", type=click.Path(path_type=Path), required=False)
@click.option(
    "--anchor",
    type=anchor_type,
    metavar="RECORDS:HASH",
    help="A head noted earlier: shows a cut end and a log written anew.",
)
@click.option("--archived", is_flag=True, help="Segments before the first one here were archived by intent.")
@pass_target
def verify(target: Target, directory: Path | None, anchor: Anchor | None, archived: bool) -> None:
    """Verifies every record in DIRECTORY (the data directory's audit log by default). Offline.

    Exit status 3 if a record was changed, removed or reordered.
    """
    place = directory or target.data_directory / "audit"
    report = verify_directory(place, anchor=anchor, archived=archived)
    for warning in report.warnings:
        click.echo(f"note: {warning}", err=True)
    for problem in report.problems:
        click.echo(f"PROBLEM: {problem}", err=True)
    if not report.good:
        raise IntegrityError(f"{place}: the audit log does not hold after {report.records} records")
    span = f", {report.first_time} to {report.last_time}" if report.records else ""
    count = report.records - report.first_record
    click.echo(f"good: {count} records from number {report.first_record} in {report.segments} segments{span}")
    click.echo(f"head {report.records}:{report.leaf}")


@audit.command()
@pass_target
def head(target: Target) -> None:
    """Prints the log's end as RECORDS:HASH. Keep it outside the machine, for verify --anchor."""
    found = ask(target.data_directory, "audit.head", AuditHead)
    click.echo(f"{found.records}:{found.leaf}")
