"""``ronctl cap explain``: what the running server would decide on a token, and why."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

import click

from ronkms.capability.explanation import CHECK, Explanation
from ronkms.capability.inspection import Inspection, inspect_token
from ronkms.cli.ronctl_admin import ask
from ronkms.cli.ronctl_narrowing import FILE, file_digest, fingerprint
from ronkms.cli.ronctl_parameters import OPERATION, instant, key_id, secretive
from ronkms.cli.ronctl_target import Target, pass_target
from ronkms.domain.algorithm import ALGORITHMS
from ronkms.domain.operation import Operation
from ronkms.policy.external.decisions import DENIED
from ronkms.server.admin_external_policy_messages import NO_DECISION, Explained
from ronkms.server.admin_messages import ExplainArguments

_DENIED: Final = 1
_STATUS: Final = {"unauthenticated": "401", "denied": "403"}
_WHOLE: Final = (
    "the token has checks of its own making (docs/formats/capability.md): the first cause alone is known"
)


@click.command("explain")
@click.argument("token", type=secretive, default="-")
@click.option("--op", type=OPERATION, required=True, help="The operation that is asked for.")
@click.option("--key", type=key_id, help="On this key; without it, on no stored key, as for a list.")
@click.option(
    "--alg", type=click.Choice(list(ALGORITHMS)), help="With this algorithm; else that of the stored key."
)
@click.option("--digest", metavar="HEX", default="", help="Of a message with this SHA-256.")
@click.option("--message-file", type=FILE, help="Of the content of this file.")
@click.option(
    "--client-cert-sha256", metavar="HEX", default="", help="Over a connection with this certificate."
)
@click.option(
    "--action",
    default="",
    help="Ask the external policy too, as of now, about this: sign, datakey, destroy_key, ...",
)
@click.option("--source", default="", help="With --action: address of the client.")
@click.option("--time", "at", type=instant, help="At this time, as in 2026-11-24T20:26:58Z; now by default.")
@pass_target
@click.pass_context
def explain_command(
    context: click.Context,
    target: Target,
    token: str,
    op: str,
    key: str | None,
    alg: str | None,
    digest: str,
    message_file: Path | None,
    client_cert_sha256: str,
    action: str,
    source: str,
    at: datetime | None,
) -> None:
    """Says whether TOKEN (or '-': standard input, '@FILE') is good for a request, else which right or check
    refuses it, in which block.

    Asks the running server, so revocations and roots count as they are now. Where there is an external
    policy it decides too: --action asks it. Exit status 1 for a refusal."""
    if digest and message_file is not None:
        raise click.UsageError("give --digest or --message-file, not both")
    arguments = ExplainArguments(
        token=token,
        op=Operation(op),
        key_id=key or "",
        alg=alg or "",
        digest=file_digest(message_file) if message_file is not None else digest.lower(),
        client_cert=fingerprint(client_cert_sha256),
        time=at,
        action=action,
        source=source,
    )
    if source and not action:
        raise click.UsageError("--source goes with --action")
    found = ask(target.data_directory, "cap.explain", Explained, arguments)
    allowed, verdict = _verdict(found)
    click.echo(verdict)
    if found.token_id:
        _show_blocks(found, inspect_token(token))
    if not allowed:
        context.exit(_DENIED)


def _verdict(found: Explained) -> tuple[bool, str]:
    """(whether such a request is let through, as far as is known; that in words)."""
    if not found.allowed:
        return False, f"refused with {_STATUS[found.code]} {found.code}: {found.reason}"
    tried = found.tried
    if tried is None:
        asked = "; the external policy decides too and was not asked: give --action" if found.external else ""
        return True, f"allowed{' by the capability' if asked else ''}{asked}"
    if tried.decision == NO_DECISION:
        if found.fails_open:
            return True, f"allowed without a decision of the external policy: {tried.reason}"
        return False, f"refused with 503 policy_unavailable: {tried.reason}"
    decision = f" ({tried.decision_id})" if tried.decision_id else ""
    if tried.decision == DENIED:
        return False, f"refused with 403 denied: external policy: {tried.reason or 'denied'}{decision}"
    return True, f"allowed, by the external policy too{decision}"


def _show_blocks(found: Explanation, shown: Inspection) -> None:
    click.echo(f"tenant     {found.tenant}")
    click.echo(f"token id   {found.token_id}")
    click.echo(f"delegated  {shown.delegations} of at most {shown.max_delegations} times")
    click.echo(f"algorithm  {', '.join(found.algs) or 'not stated'}")
    failed = {(one.block, one.check) for one in found.failed}
    for number, block in enumerate(shown.blocks):
        click.echo(f"block {number}")
        checks = 0
        for statement in block.statements:
            checks += statement.startswith(CHECK)
            fails = statement.startswith(CHECK) and (number, checks) in failed
            click.echo(f"  {'FAILS' if fails else '     '} {statement}")
    if not found.compiled:
        click.echo(_WHOLE, err=True)
