"""The pass over all records at start: what is damaged, what is surplus (docs/formats/keystore.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest

import structlog

from ronkms.domain.key import Key, KeyState, KeyVersion
from ronkms.errors import IntegrityError
from ronkms.store.keyring import Keyring
from ronkms.store.record_files import MAX_RECORD, RecordFiles

_log = structlog.get_logger("ronkms.store")


@dataclass(frozen=True, slots=True)
class Surplus:
    """Record files that no live version needs."""

    quarantined: tuple[str, ...]
    removed: int
    """Leftovers of destroyed versions."""


def read_record(files: RecordFiles, key: Key, version: KeyVersion) -> tuple[bytes, str]:
    """(record, what is wrong with it); the second is empty for a good one."""
    try:
        record = files.read(files.file(key.tenant, key.key_id, version.number))
    except FileNotFoundError:
        return b"", "missing"
    except OSError as error:
        return b"", f"unreadable: {error.strerror}"
    if len(record) > MAX_RECORD or not compare_digest(sha256(record).digest(), version.record_digest):
        return b"", "not the record that the journal names"
    return record, ""


def record_name(files: RecordFiles, key: Key, number: int) -> str:
    """How people find a record: tenant/key_id/version and file."""
    return f"{key.tenant}/{key.key_id}/{number} (records/{files.file(key.tenant, key.key_id, number)})"


def damaged_records(files: RecordFiles, keyring: Keyring) -> Iterator[tuple[Key, int, str]]:
    """(key, version number, what is wrong) of every live version whose record is damaged."""
    for key in keyring.every_key():
        for version in key.versions.values():
            if version.state is not KeyState.DESTROYED:
                _, fault = read_record(files, key, version)
                if fault:
                    yield key, version.number, fault


def settle_surplus(files: RecordFiles, keyring: Keyring) -> Surplus:
    """Removes the files of destroyed versions, and quarantines the one record that a crash may leave.

    Raises IntegrityError: two or more records are unknown to the journal; nothing is touched then. OSError.
    """
    unknown = set(files.present())
    destroyed = []
    for key in keyring.every_key():
        for version in key.versions.values():
            file = files.file(key.tenant, key.key_id, version.number)
            if file in unknown:
                unknown.remove(file)
                if version.state is KeyState.DESTROYED:
                    destroyed.append(file)
    if len(unknown) > 1:
        raise IntegrityError(
            f"{len(unknown)} records under {files.root} have no journal entry (one is {min(unknown)}): the "
            "journal is older than the records; restore the whole keystore from one backup, or move them away"
        )
    for file in destroyed:
        files.remove(file)
        _log.warning("destroyed_record_removed", file=file)
    for file in unknown:
        _log.warning("record_quarantined", file=file, quarantine=str(files.quarantine(file)))
    return Surplus(tuple(unknown), len(destroyed))
