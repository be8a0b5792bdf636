"""Epochs of digest keys over the real log and custody: rotation, crashes, escrow, destruction."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from ronkms_native import Custody

from ronkms.audit import digest_rotation
from ronkms.audit.digest_epochs import EpochFile, read_epochs, write_epochs
from ronkms.audit.digest_rotation import DigestRotation
from ronkms.audit.escrow import (
    make_key_pair,
    open_escrow,
    open_private,
    parse_announcement,
    parse_recipient,
    read_recipient,
)
from ronkms.audit.verify import verify_directory
from ronkms.domain.operation import Operation, Outcome
from ronkms.errors import AuditUnavailable, BadRequest, ConfigError, Conflict, IntegrityError, NotFound
from tests.unit.audit.digest_parts import DAY, ORIGIN, Auditor, Parts

CUSTODY = Custody.create("dev", None)[0]


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path, CUSTODY)


def lines(directory: Path) -> list[bytes]:
    return [line for path in sorted(directory.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def records(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(directory)]


def sealed_of(record: dict[str, Any]) -> bytes:
    return base64.b64decode(record["escrow"]["sealed"])


def sign(parts: Parts, data: bytes) -> int:
    return parts.trail.record(
        op=Operation.SIGN,
        outcome=Outcome.OK,
        tenant="acme",
        token_id="00",
        corr_id="c",
        digest=parts.trail.input_digest(data),
    )


def test_each_digest_is_of_the_epoch_that_its_record_names(parts: Parts) -> None:
    auditor = Auditor()
    rotation = parts.rotation(auditor.recipient)
    rotation.start()
    sign(parts, b"one")
    assert rotation.rotate().number == 2
    sign(parts, b"one")
    sign(parts, b"two")
    first, one, second, again, two = records(parts.directory)
    keys = {}
    for announced in (first, second):
        assert (announced["op"], announced["outcome"], announced["token"]) == (
            "digest_key",
            "ok",
            "system:digest",
        )
        sealed = sealed_of(announced)
        keys[announced["dk"]] = auditor.open(sealed, ORIGIN, announced["dk"])
        check = auditor.digest(keys[announced["dk"]], b"ron-kms audit digest key check v1")
        assert announced["check"] == check
    assert [each["dk"] for each in (one, again, two)] == [1, 2, 2]
    for record, data in ((one, b"one"), (again, b"one"), (two, b"two")):
        assert record["digest"] == auditor.digest(keys[record["dk"]], data)
        assert record["digest"] == rotation.digest(record["dk"], data)
    assert one["digest"] != again["digest"]
    with pytest.raises(InvalidTag):
        auditor.open(sealed_of(first), ORIGIN, 2)
    assert verify_directory(parts.directory).good


def test_digests_from_before_the_epochs(parts: Parts) -> None:
    data = b"x" * 32
    assert parts.rotation().digest(0, data) == CUSTODY.mac("ron-kms audit input digest v1", data).hex()


def test_no_key_no_digest(parts: Parts) -> None:
    with pytest.raises(AuditUnavailable, match="no digest key yet"):
        sign(parts, b"m")
    assert parts.log.head[0] == 0


def test_another_process_follows_the_generation(parts: Parts) -> None:
    parts.rotation().start()
    held = parts.keys.current()
    assert parts.keys.current() is held
    parts.rotation().rotate()
    assert parts.keys.current().epoch == 2
    parts.bump()
    again = parts.keys.current()
    assert (again.epoch, again.generation) == (2, parts.generation)
    assert again.key.mac(b"") != held.key.mac(b"")


def test_periods(parts: Parts) -> None:
    rotation = parts.rotation(period_days=2)
    rotation.start()
    for days, epoch in ((0, 1), (1.9, 1), (2, 2), (3.9, 2), (10, 3)):
        parts.now = 1_000_000 + days * DAY
        rotation.turn()
        assert parts.keys.current().epoch == epoch
    parts.now += 1000 * DAY
    never = parts.rotation()
    never.turn()
    assert parts.keys.current().epoch == 3


def test_an_auditor_who_comes_or_changes_begins_an_epoch(parts: Parts) -> None:
    one, other = Auditor(), Auditor()
    for recipient, epoch in (
        (None, 1),
        (one.recipient, 2),
        (one.recipient, 2),
        (None, 2),
        (other.recipient, 3),
    ):
        parts.rotation(recipient).start()
        assert parts.keys.current().epoch == epoch
    assert [each.recipient for each in read_epochs(parts.directory).epochs] == [
        "",
        one.recipient.fingerprint,
        other.recipient.fingerprint,
    ]
    assert "escrow" not in records(parts.directory)[0]


class Killed(BaseException):
    """Instead of the rest of a process."""


@pytest.mark.parametrize("write", [0, 1])
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_write_leaves_one_key_for_an_epoch(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, write: int, after: bool
) -> None:
    auditor = Auditor()
    parts.rotation(auditor.recipient).start()
    sign(parts, b"m")
    writes: list[int] = []

    def dies(directory: Path, content: EpochFile) -> None:
        writes.append(1)
        last = len(writes) == write + 1
        if last and not after:
            raise Killed
        write_epochs(directory, content)
        if last:
            raise Killed

    monkeypatch.setattr(digest_rotation, "write_epochs", dies)
    with pytest.raises(Killed):
        parts.rotation(auditor.recipient).rotate()
    monkeypatch.undo()
    sign(parts, b"m")
    rotation = parts.rotation(auditor.recipient)
    rotation.resume()
    rotation.turn()
    sign(parts, b"m")
    rotation.rotate()
    sign(parts, b"m")
    assert verify_directory(parts.directory).good
    keys: dict[int, bytes] = {}
    for record in records(parts.directory):
        if record["op"] == "digest_key":
            key = auditor.open(sealed_of(record), ORIGIN, record["dk"])
            assert keys.setdefault(record["dk"], key) == key
        else:
            assert record["digest"] == auditor.digest(keys[record["dk"]], b"m")
    # Died before the key was on disk: nobody has seen it, and the number is used again.
    assert len(keys) == (2 if write == 0 and not after else 3)


def test_a_log_that_cannot_be_written_delays_the_first_key(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> int:
        raise AuditUnavailable("the audit log cannot be written")

    monkeypatch.setattr(parts.trail, "announce_digest_key", full)
    rotation = parts.rotation()
    rotation.start()
    with pytest.raises(AuditUnavailable, match="no digest key yet"):
        parts.keys.current()
    monkeypatch.undo()
    rotation.turn()
    assert parts.keys.current().epoch == 1


def test_removed_keys_stop_the_start(parts: Parts) -> None:
    parts.rotation().start()
    (parts.directory / "digest-keys.json").unlink()
    with pytest.raises(IntegrityError, match=r"digest-keys\.json was removed"):
        parts.rotation().start()


def test_a_key_of_another_log_does_not_open(parts: Parts) -> None:
    parts.rotation().start()
    path = parts.directory / "digest-keys.json"
    raw = json.loads(path.read_bytes())
    raw["epochs"][0]["sealed"] = raw["epochs"][0]["sealed"][:-8] + "AAAAAA=="
    path.write_text(json.dumps(raw))
    parts.bump()
    with pytest.raises(AuditUnavailable, match="epoch 1 cannot be opened"):
        parts.keys.current()


def test_destruction_waits_for_the_records_to_be_gone(tmp_path: Path) -> None:
    parts = Parts(tmp_path, CUSTODY, segment_bytes=4096)
    rotation: DigestRotation = parts.rotation()
    rotation.start()
    sign(parts, b"m")
    with pytest.raises(Conflict, match="in use"):
        rotation.destroy(1)
    with pytest.raises(NotFound):
        rotation.destroy(7)
    parts.log.roll()
    rotation.rotate()
    with pytest.raises(Conflict, match="still in the directory"):
        rotation.destroy(1)
    parts.log.roll()
    sign(parts, b"m")
    (tmp_path / "audit-00000001.jsonl").unlink()
    with pytest.raises(Conflict, match="still in the directory"):
        rotation.destroy(1)
    (tmp_path / "audit-00000002.jsonl").unlink()
    assert rotation.destroy(1).destroyed_at == 1_000_000
    with pytest.raises(NotFound, match="destroyed"):
        rotation.digest(1, b"m")
    assert rotation.digest(2, b"m") == records(tmp_path)[-1]["digest"]
    assert b'"sealed":""' in (tmp_path / "digest-keys.json").read_bytes()


def test_the_auditors_files(tmp_path: Path, parts: Parts) -> None:
    secret, other = tmp_path / "passphrase", tmp_path / "other"
    for path in (secret, other):
        path.write_text(f"correct horse battery {path.name}\n")
        path.chmod(0o600)
    private, public = tmp_path / "auditor.key", tmp_path / "auditor.pub"
    made = make_key_pair(private, public, kind="passphrase", secret_path=str(secret))
    assert read_recipient(public) == made
    assert private.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        make_key_pair(private, public, kind="passphrase", secret_path=str(secret))
    with pytest.raises(BadRequest, match="does not open"):
        open_private(private, kind="passphrase", secret_path=str(other))
    with pytest.raises(BadRequest, match="not a private file"):
        open_private(public, kind="passphrase", secret_path=str(secret))
    key = open_private(private, kind="passphrase", secret_path=str(secret))
    parts.rotation(made).start()
    (line,) = lines(parts.directory)
    announcement = parse_announcement(line)
    assert open_escrow(announcement, ORIGIN, key).mac(b"m") == parts.keys.current().key.mac(b"m")
    with pytest.raises(IntegrityError, match="does not open"):
        open_escrow(announcement, "ron-kms/other", key)
    changed = parse_announcement(line.replace(announcement.check.encode(), b"0" * 64))
    with pytest.raises(IntegrityError, match="another key"):
        open_escrow(changed, ORIGIN, key)
    parts.rotation(Auditor().recipient).start()
    with pytest.raises(BadRequest, match="is escrowed to"):
        open_escrow(parse_announcement(lines(parts.directory)[1]), ORIGIN, key)


@pytest.mark.parametrize(
    "content", ["", "ron-kms-escrow-v1 AAAA", "other AAAA", "ron-kms-escrow-v1 %%%", "é"]
)
def test_wrong_public_files_stop_the_start(tmp_path: Path, content: str) -> None:
    path = tmp_path / "auditor.pub"
    path.write_text(content)
    with pytest.raises(ConfigError, match="audit_escrow_public_key"):
        read_recipient(path)
    with pytest.raises(ConfigError, match="audit_escrow_public_key: cannot read"):
        read_recipient(tmp_path / "missing")


def test_public_lines_survive_the_way() -> None:
    recipient = Auditor().recipient
    assert parse_recipient(recipient.encoded()) == recipient
