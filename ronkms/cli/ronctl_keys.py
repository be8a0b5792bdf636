"""``ronctl keys``: keys, over the HTTP API."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import click

from ronkms.cli.dry_run_text import dry_run_lines
from ronkms.cli.ronctl_parameters import NONE, duration, names_or_none, or_none, read_text
from ronkms.cli.ronctl_parameters import key_id as key_id_type
from ronkms.cli.ronctl_target import Target, pass_target
from ronkms.client.http_client import JSON, PEM
from ronkms.client.import_wrapping import MAX_FILE, MECHANISM, key_material, wrap_for_import
from ronkms.domain.algorithm import ALGORITHMS, algorithm
from ronkms.domain.operation import Operation
from ronkms.errors import BadRequest

_KEYS: Final = "/v1/kms/keys"
_ALG = click.Choice(list(ALGORITHMS))
_version_option = click.option("--key-version", type=int, help="One version; else the whole key.")


@click.group()
def keys() -> None:
    """Keys of a tenant."""


@keys.command()
@click.argument("key_id", type=key_id_type, required=False)
@click.option("--alg", type=_ALG, required=True, help="The algorithm, for life but for a move to a hybrid.")
@click.option("--backend", help="Where the key lives; the server's default otherwise.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label; repeatable.")
@click.option("--allow-mu", is_flag=True, help="The key signs an external mu (ML-DSA).")
@pass_target
def create(
    target: Target, key_id: str | None, alg: str, backend: str | None, labels: tuple[str, ...], allow_mu: bool
) -> None:
    """Makes a key; without KEY_ID its id is made too."""
    body = _new_key(alg, key_id, backend, labels, allow_mu)
    _show(target.api([Operation.CREATE], key_id or "*").json("POST", _KEYS, body))


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@pass_target
def list_keys(target: Target, as_json: bool) -> None:
    """Lists the tenant's keys in the order of their ids."""
    client = target.api([Operation.READ])
    after: str | None = ""
    while after is not None:
        page = client.json(
            "GET", f"{_KEYS}?{urlencode({'limit': 100, 'after': after} if after else {'limit': 100})}"
        )
        for key in page["keys"]:
            if as_json:
                click.echo(json.dumps(key))
            else:
                click.echo(f"{key['key_id']:<32} {key['alg']:<24} {key['usage']:<5} {key['state']}")
        after = page.get("next")


@keys.command()
@click.argument("key_id", type=key_id_type)
@pass_target
def describe(target: Target, key_id: str) -> None:
    """Shows a key and its versions."""
    _show(target.api([Operation.READ], key_id).json("GET", f"{_KEYS}/{key_id}"))


@keys.command()
@click.argument("key_id", type=key_id_type)
@click.option("--format", "form", type=click.Choice(["pem", "jwk"]), default="pem")
@_version_option
@pass_target
def public(target: Target, key_id: str, form: str, key_version: int | None) -> None:
    """Prints the public key of the newest version, or of one."""
    query = "" if key_version is None else f"?key_version={key_version}"
    client = target.api([Operation.READ], key_id)
    text = client.text(f"{_KEYS}/{key_id}/public{query}", PEM if form == "pem" else JSON)
    click.echo(text.rstrip("\n"))


@keys.command()
@click.argument("key_id", type=key_id_type)
@pass_target
def rotate(target: Target, key_id: str) -> None:
    """Makes the next version, which signs from now on."""
    _show(target.api([Operation.ROTATE], key_id).json("POST", f"{_KEYS}/rotate", {"key_id": key_id}))


@keys.command()
@click.argument("key_id", type=key_id_type)
@_version_option
@pass_target
def enable(target: Target, key_id: str, key_version: int | None) -> None:
    """Enables a disabled key or version."""
    _change(target, key_id, "enable", key_version)


@keys.command()
@click.argument("key_id", type=key_id_type)
@_version_option
@click.option("--percent", type=click.IntRange(1, 100), help="In stages: refuse so many of its requests.")
@click.option("--over", type=duration, help="The share grows within so long, to --percent or 100.")
@pass_target
def disable(
    target: Target, key_id: str, key_version: int | None, percent: int | None, over: int | None
) -> None:
    """Disables a key or version: nothing works with it, in any worker, when this returns.

    With --percent or --over a key is disabled in stages, which enable takes back.
    """
    _change(target, key_id, "disable", key_version, percent=percent, over=over)


@keys.command()
@click.argument("key_id", type=key_id_type)
@_version_option
@click.option("--window", type=duration, help="How long it can be restored, 1m to 365d; 7d by default.")
@click.option("--dry-run", is_flag=True, help="Change nothing; show who used it lately.")
@click.option("--force", is_flag=True, help="Although it was used lately.")
@click.option("--json", "as_json", is_flag=True, help="The dry run as JSON.")
@pass_target
def destroy(
    target: Target,
    key_id: str,
    key_version: int | None,
    window: int | None,
    dry_run: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Schedules the destruction of a key's or version's material.

    With --dry-run the exit status is 1 if the destruction would be refused without --force.
    """
    if not dry_run:
        _change(target, key_id, "destroy", key_version, window_seconds=window, force=force or None)
        return
    body = _given(key_version=key_version, window_seconds=window, dry_run=True, force=force or None)
    answer = target.api([Operation.STATE], key_id).json("POST", f"{_KEYS}/{key_id}/destroy", body)
    if as_json:
        _show(answer)
    else:
        click.echo("\n".join(dry_run_lines(answer)))
    if not answer["dry_run"]["allowed"]:
        raise click.exceptions.Exit(1)


@keys.command()
@click.argument("key_id", type=key_id_type)
@_version_option
@pass_target
def restore(target: Target, key_id: str, key_version: int | None) -> None:
    """Takes a scheduled destruction back; the key is disabled then."""
    _change(target, key_id, "restore", key_version)


@keys.command()
@click.argument("key_id", type=key_id_type)
@click.option("--not-before", type=or_none(int), help="First second of use (Unix time), or none.")
@click.option("--not-after", type=or_none(int), help="First second without use (Unix time), or none.")
@click.option("--min-version", type=int, help="The oldest version that still works; 1 for all.")
@click.option("--rotation-period", type=or_none(duration), help="The server rotates, 1m to 3650d; or none.")
@click.option("--max-operations", type=or_none(int), help="How often a version signs or wraps, or none.")
@click.option("--algs", type=names_or_none, help="Algorithms of versions that still work, A,B,...; or none.")
@click.option("--signature-formats", type=names_or_none, help="In which it signs: der, p1363; or none.")
@click.option("--allow-prehashed/--no-allow-prehashed", default=None, help="The key signs given digests.")
@click.option("--allow-mu/--no-allow-mu", default=None, help="The key signs an external mu (ML-DSA).")
@pass_target
def policy(
    target: Target,
    key_id: str,
    not_before: int | str | None,
    not_after: int | str | None,
    min_version: int | None,
    rotation_period: int | str | None,
    max_operations: int | str | None,
    algs: list[str] | str | None,
    signature_formats: list[str] | str | None,
    allow_prehashed: bool | None,
    allow_mu: bool | None,
) -> None:
    """Changes what the options name in the policy of a key, in every worker when this returns."""
    given = {
        "not_before": not_before,
        "not_after": not_after,
        "min_version": min_version,
        "rotation_period_seconds": rotation_period,
        "max_operations": max_operations,
        "algs": algs,
        "signature_formats": signature_formats,
        "prehashed": allow_prehashed,
        "mu": allow_mu,
    }
    body = {name: None if value == NONE else value for name, value in given.items() if value is not None}
    _show(target.api([Operation.STATE], key_id).json("POST", f"{_KEYS}/{key_id}/policy", body))


@keys.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--alg", type=_ALG, required=True)
@click.option("--key-id", type=key_id_type, help="The id; made if left out.")
@click.option("--backend", help="Where the key lives; the server's default otherwise.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label; repeatable.")
@click.option("--allow-mu", is_flag=True, help="The key signs an external mu (ML-DSA).")
@click.option("--new-version", is_flag=True, help="As the next version of a key that exists.")
@click.option("--passphrase-file", type=click.Path(path_type=Path), help="Opens an encrypted PEM file.")
@pass_target
def import_key(
    target: Target,
    file: Path,
    alg: str,
    key_id: str | None,
    backend: str | None,
    labels: tuple[str, ...],
    allow_mu: bool,
    new_version: bool,
    passphrase_file: Path | None,
) -> None:
    """Imports the private key in FILE: PKCS#8 (PEM or DER), or raw bytes for AES, X-Wing and composites.

    It is wrapped here, to a one-time key of the service, and leaves this machine in no other form.
    """
    with file.open("rb") as opened:
        content = opened.read(MAX_FILE)
    passphrase = read_text(passphrase_file).encode() if passphrase_file else None
    material = key_material(content, passphrase)
    client = target.api([Operation.IMPORT])
    params = client.json("POST", f"{_KEYS}/import/params", {"mechanism": MECHANISM})
    body = _new_key(alg, key_id, backend, labels, allow_mu)
    body["import_id"] = params["import_id"]
    body["wrapped_key"] = _base64(wrap_for_import(material, base64.b64decode(params["public_key"])))
    body["new_version"] = new_version
    _show(client.json("POST", f"{_KEYS}/import", body))


def _new_key(
    alg: str, key_id: str | None, backend: str | None, labels: tuple[str, ...], allow_mu: bool
) -> dict[str, Any]:
    body: dict[str, Any] = {"alg": alg, "usage": algorithm(alg).usage.value}
    if key_id is not None:
        body["key_id"] = key_id
    if backend is not None:
        body["backend"] = backend
    if labels:
        pairs = [label.partition("=") for label in labels]
        if not all(name and equals for name, equals, _ in pairs):
            raise BadRequest("a label has the form NAME=VALUE")
        body["labels"] = {name: value for name, _, value in pairs}
    if allow_mu:
        body["policy"] = {"mu": True}
    return body


def _change(target: Target, key_id: str, change: str, key_version: int | None, **fields: int | None) -> None:
    body = _given(key_version=key_version, **fields)
    _show(target.api([Operation.STATE], key_id).json("POST", f"{_KEYS}/{key_id}/{change}", body))


def _given(**fields: int | None) -> dict[str, int]:
    return {name: value for name, value in fields.items() if value is not None}


def _show(answer: object) -> None:
    click.echo(json.dumps(answer, indent=2))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
