"""Signed notes and verifier keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ronkms_native import Custody

from ronkms.audit.checkpoint import Checkpoint, verify_checkpoint
from ronkms.audit.log_keys import LogSigner
from ronkms.audit.merkle import EMPTY_ROOT
from ronkms.audit.note import Note, NoteKey
from ronkms.errors import IntegrityError

GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
"""The key and note of the Go module golang.org/x/mod/sumdb/note's documentation."""
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
GO_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAc"
    "ElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)


@pytest.fixture
def signer(tmp_path: Path) -> LogSigner:
    custody, _ = Custody.create("dev", None)
    return LogSigner(tmp_path, custody)


def test_a_key_of_another_implementation() -> None:
    key = NoteKey.parse(GO_KEY)
    assert (key.name, key.id.hex(), key.encoded()) == ("PeterNeumann", "c74f20a3", GO_KEY)
    note = Note.parse(f"{GO_TEXT}\n{GO_LINE}\n")
    assert (note.text, note.signatures[0].key_id) == (GO_TEXT, key.id)
    assert str(note) == f"{GO_TEXT}\n{GO_LINE}\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a+b",
        GO_KEY[:-4],
        GO_KEY.replace("c74f", "c74e"),
        GO_KEY.replace("ARpc", "AhpC"),
        "x y" + GO_KEY,
    ],
)
def test_bad_keys(text: str) -> None:
    with pytest.raises(ValueError):
        NoteKey.parse(text)


@given(st.text() | st.builds(lambda a, b: f"{a}\n\n— {b}\n", st.text(), st.text()))
def test_any_text_is_a_note_or_refused(text: str) -> None:
    try:
        note = Note.parse(text)
    except IntegrityError:
        return
    assert str(note) == text


@given(st.integers(0, 2**62), st.binary(min_size=32, max_size=32))
def test_checkpoints_come_back(size: int, root: bytes) -> None:
    checkpoint = Checkpoint("log/x", size, root)
    assert Checkpoint.parse(checkpoint.text) == checkpoint


@pytest.mark.parametrize("text", ["", "a\n1\n", "a\n01\nAA==\n", "a\n1\nAA==\n", "\n1\n" + "A" * 43 + "=\n"])
def test_bad_checkpoints(text: str) -> None:
    with pytest.raises(IntegrityError):
        Checkpoint.parse(text)


def test_both_signatures_are_verified(signer: LogSigner) -> None:
    note = signer.sign(0, EMPTY_ROOT)
    signed = verify_checkpoint(str(note), signer.keys)
    assert [key.type for key in signed.signers] == [1, 6]
    assert signed.checkpoint == Checkpoint(signer.origin, 0, EMPTY_ROOT)
    for at in range(2):
        line = note.signatures[at]
        for position in range(0, len(line.signature), 97):
            bent = bytearray(line.signature)
            bent[position] ^= 1
            lines = list(note.signatures)
            lines[at] = line._replace(signature=bytes(bent))
            with pytest.raises(IntegrityError, match="wrong"):
                verify_checkpoint(str(Note(note.text, tuple(lines))), signer.keys)
    with pytest.raises(IntegrityError, match="wrong"):
        verify_checkpoint(str(note).replace("\n0\n", "\n1\n"), signer.keys)
    with pytest.raises(IntegrityError, match="no signature by a known key"):
        verify_checkpoint(str(note), [NoteKey.parse(GO_KEY)])


def test_keys_are_kept_and_rotated(tmp_path: Path) -> None:
    custody, _ = Custody.create("dev", None)
    first = LogSigner(tmp_path, custody)
    old = first.sign(0, EMPTY_ROOT)
    made = first.rotate()
    again = LogSigner(tmp_path, custody)
    assert again.origin == first.origin
    assert again.current == made == again.keys[2:]
    new = again.sign(0, EMPTY_ROOT)
    for note in (old, new):
        verify_checkpoint(str(note), again.keys)
    with pytest.raises(IntegrityError, match="known key"):
        verify_checkpoint(str(old), made)
    assert (tmp_path / "log-keys.json").stat().st_mode & 0o777 == 0o600


def test_keys_of_another_directory_are_refused(tmp_path: Path) -> None:
    LogSigner(tmp_path, Custody.create("dev", None)[0])
    with pytest.raises(IntegrityError, match="cannot be opened"):
        LogSigner(tmp_path, Custody.create("dev", None)[0])
