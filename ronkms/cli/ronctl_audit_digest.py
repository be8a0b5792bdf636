"""``ronctl audit``: was it this message? Keyed digests, their keys, and the auditor's escrow."""

from __future__ import annotations

import hashlib
import hmac
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import msgspec
from ronkms_native import MacKey, PrivateKey

from ronkms.audit.checkpoint import verify_checkpoint
from ronkms.audit.escrow import make_key_pair, open_escrow, open_private, parse_announcement
from ronkms.audit.follower import line_of
from ronkms.audit.log_keys import read_log_keys
from ronkms.audit.note import NoteKey
from ronkms.audit.proof import InclusionProof, verify_proof
from ronkms.cli.ronctl_admin import ask
from ronkms.cli.ronctl_parameters import DIRECTORY, verifier_key
from ronkms.cli.ronctl_target import Target, pass_target
from ronkms.errors import BadRequest, IntegrityError
from ronkms.server.admin_messages import (
    DigestArguments,
    DigestEpoch,
    DigestEpochs,
    EpochArguments,
    InputDigest,
)

_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)
_NEW_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_MAX_ASKED: Final = 45_000
"""Bytes of an input that fit into one admin request."""
_OF_MESSAGES: Final = frozenset({"sign", "verify"})


class _Opened(NamedTuple):
    epoch: int
    record: int
    origin: str
    key: MacKey


def _protection(command: Any) -> Any:
    command = click.option(
        "--passphrase-file", type=_FILE, help="Its first line protects the private file; mode 0600."
    )(command)
    return click.option("--keyfile", type=_FILE, help="32 or more random bytes instead; mode 0600.")(command)


def _kind(passphrase_file: Path | None, keyfile: Path | None) -> tuple[str, str]:
    if (passphrase_file is None) == (keyfile is None):
        raise click.UsageError("give --passphrase-file or --keyfile")
    return ("passphrase", str(passphrase_file)) if passphrase_file is not None else ("keyfile", str(keyfile))


@click.command("rotate-digest-key")
@pass_target
def rotate_digest_key(target: Target) -> None:
    """Begins a new epoch of the input digests, in use by all workers when this returns."""
    click.echo(_line(ask(target.data_directory, "audit.rotate-digest-key", DigestEpoch)))


@click.command("destroy-digest-key")
@click.argument("epoch", type=click.IntRange(min=1))
@pass_target
def destroy_digest_key(target: Target, epoch: int) -> None:
    """Forgets the key of an ended EPOCH whose records have all left the directory. Escrows stay readable."""
    arguments = EpochArguments(epoch)
    click.echo(_line(ask(target.data_directory, "audit.destroy-digest-key", DigestEpoch, arguments)))


@click.command("digest-keys")
@pass_target
def digest_keys(target: Target) -> None:
    """Lists the epochs of the input digests, oldest first."""
    for epoch in ask(target.data_directory, "audit.digest-keys", DigestEpochs).epochs:
        click.echo(_line(epoch))


@click.command("escrow-keygen")
@click.option("--private", type=_NEW_FILE, required=True, help="The auditor's; never on the server.")
@click.option("--public", type=_NEW_FILE, required=True, help="For the setting audit_escrow_public_key.")
@_protection
def escrow_keygen(private: Path, public: Path, passphrase_file: Path | None, keyfile: Path | None) -> None:
    """Makes the auditor's key pair. To run on the auditor's machine. Offline."""
    kind, secret_path = _kind(passphrase_file, keyfile)
    made = make_key_pair(private, public, kind=kind, secret_path=secret_path)
    click.echo(made.fingerprint)


@click.command("open-escrow")
@click.argument("escrow", type=_FILE)
@click.option("--private", type=_FILE, required=True, help="Of ronctl audit escrow-keygen.")
@_protection
@click.option("--key", "keys", type=verifier_key, metavar="VKEY", multiple=True, help="Of the log.")
def open_escrow_command(
    escrow: Path, private: Path, passphrase_file: Path | None, keyfile: Path | None, keys: tuple[NoteKey, ...]
) -> None:
    """Proves that the digest key in ESCROW (audit/escrow/epoch-N.json) is the announced one. Offline.

    Without --key the public keys beside the escrow are used, which proves no identity.
    """
    opened = _open(escrow, open_private(private, **_secret(passphrase_file, keyfile)), keys)
    click.echo(f"good: epoch {opened.epoch} of {opened.origin}, announced by record {opened.record}")


@click.command()
@click.argument("record", type=click.IntRange(min=0))
@click.option("--directory", type=click.Path(path_type=Path), help="Of the log.")
@click.option("--archive", type=DIRECTORY, help="Where older segments were copied to.")
@click.option("--escrow", type=_FILE, help="Of the record's epoch; with --private. Else the server is asked.")
@click.option("--private", type=_FILE, help="Of ronctl audit escrow-keygen.")
@_protection
@click.option("--key", "keys", type=verifier_key, metavar="VKEY", multiple=True, help="Of the log.")
@click.option("--as-given", is_flag=True, help="sign, verify: the input is a digest or mu, not a message.")
@pass_target
def digest(
    target: Target,
    record: int,
    directory: Path | None,
    archive: Path | None,
    escrow: Path | None,
    private: Path | None,
    passphrase_file: Path | None,
    keyfile: Path | None,
    keys: tuple[NoteKey, ...],
    as_given: bool,
) -> None:
    """Whether the input of RECORD (a number) was what stands on standard input.

    Exit status 1 if it was not. For wrap the input is the plaintext, for unwrap and datakey the ciphertext.
    """
    if (escrow is None) != (private is None):
        raise click.UsageError("give --escrow and --private, or neither")
    line = line_of(directory or target.data_directory / "audit", record, archive)
    fields = msgspec.json.decode(line, type=dict[str, Any])
    found, epoch = fields.get("digest"), fields.get("dk", 0)
    if not isinstance(found, str) or not isinstance(epoch, int):
        raise BadRequest(f"record {record} is of an operation without input")
    given = _input(fields, sys.stdin.buffer.read(), as_given=as_given)
    if escrow is not None and private is not None:
        opened = _open(escrow, open_private(private, **_secret(passphrase_file, keyfile)), keys)
        if opened.epoch != epoch:
            raise BadRequest(f"record {record} is of epoch {epoch}, the escrow of epoch {opened.epoch}")
        made = opened.key.mac(given).hex()
    else:
        if len(given) > _MAX_ASKED:
            raise BadRequest(f"an input of over {_MAX_ASKED} bytes can be checked with an escrow only")
        made = ask(target.data_directory, "audit.digest", InputDigest, DigestArguments(epoch, given)).digest
    if not hmac.compare_digest(made, found):
        raise BadRequest(f"record {record} had another input")
    click.echo(f"match: this was the input of record {record}")


def _input(fields: dict[str, Any], given: bytes, *, as_given: bool) -> bytes:
    if fields.get("items"):
        raise BadRequest("the record is of a batch; docs/formats/audit-digest.md says what its digest covers")
    if not given:
        raise BadRequest("the input is expected on standard input")
    if fields.get("op") in _OF_MESSAGES and not as_given:
        return hashlib.sha256(given).digest()
    return given


def _secret(passphrase_file: Path | None, keyfile: Path | None) -> dict[str, str]:
    kind, path = _kind(passphrase_file, keyfile)
    return {"kind": kind, "secret_path": path}


def _open(escrow: Path, private: PrivateKey, keys: tuple[NoteKey, ...]) -> _Opened:
    if not keys:
        own = read_log_keys(escrow.absolute().parent.parent)
        if own is None:
            raise click.UsageError("give --key: there are no keys of a log beside the escrow")
        keys = own.note_keys()
        click.echo("note: the keys are the directory's own: this proves no identity; give --key", err=True)
    document = escrow.read_bytes()
    verify_proof(document, keys)
    try:
        proof = msgspec.json.decode(document, type=InclusionProof)
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"{escrow} is not an inclusion proof: {error}") from None
    origin = verify_checkpoint(proof.checkpoint, keys).checkpoint.origin
    announcement = parse_announcement(proof.record)
    return _Opened(announcement.dk, proof.index, origin, open_escrow(announcement, origin, private))


def _line(epoch: DigestEpoch) -> str:
    state = "destroyed" if epoch.destroyed_at else "ended" if epoch.retired_at else "in use"
    if epoch.record < 0:
        state = "not announced yet"
    return (
        f"epoch {epoch.number}: {state}, announced by record {epoch.record},"
        f" escrow {epoch.escrowed_to[:16] or 'none'}"
    )
