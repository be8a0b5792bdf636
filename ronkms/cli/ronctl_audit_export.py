"""``ronctl audit export``: the audit log for other systems. Needs no server."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click

from ronkms.audit.export import FORMATS, Selection, export_directory
from ronkms.cli.ronctl_parameters import DIRECTORY, instant
from ronkms.cli.ronctl_target import Target, pass_target


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), required=False)
@click.option("--archive", type=DIRECTORY, help="Where older segments were copied to.")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="jsonl", show_default=True)
@click.option("--since", type=instant, metavar="TIME", help="From this time on (RFC 3339).")
@click.option("--until", type=instant, metavar="TIME", help="Up to this time, which is left out.")
@click.option("--tenant", help="Only records of this tenant.")
@click.option("--op", help="Only records of this operation, as the log names it.")
@pass_target
def export(
    target: Target,
    directory: Path | None,
    archive: Path | None,
    form: str,
    since: datetime | None,
    until: datetime | None,
    tenant: str | None,
    op: str | None,
) -> None:
    """Writes the records in DIRECTORY (the data directory's log by default) to standard output. Offline.

    Exit status 3, after the records before it, at the first record that does not continue the chain.
    """
    place = directory or target.data_directory / "audit"
    out = sys.stdout.buffer
    try:
        for line in export_directory(place, form, Selection(since, until, tenant, op), archive):
            out.write(line)
    finally:
        out.flush()
