"""A witness cosigns one history."""

from __future__ import annotations

from pathlib import Path

import pytest
from ronkms_native import Custody

from ronkms.audit import merkle
from ronkms.audit.checkpoint import verify_checkpoint
from ronkms.audit.log_keys import LogSigner
from ronkms.audit.note import Note, parse_signature
from ronkms.audit.tree_files import TreeWriter
from ronkms.audit.witness import Witness, WitnessRefusal, encode_request
from ronkms.errors import IntegrityError


class Log:
    def __init__(self, directory: Path, seed: bytes = b"") -> None:
        directory.mkdir(exist_ok=True)
        self.signer = LogSigner(directory, Custody.create("dev", None)[0])
        self.tree = TreeWriter(directory / f"tree{seed.hex()}")
        leaves = (merkle.leaf_hash(seed + b"%d" % number) for number in range(40))
        self.tree.append(b"".join(leaves))

    def note(self, size: int) -> Note:
        return self.signer.sign(size, merkle.root(self.tree, size))

    def request(self, old: int, size: int) -> bytes:
        return encode_request(old, merkle.consistency_path(self.tree, old, size), str(self.note(size)))


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


@pytest.fixture
def witness(log: Log, tmp_path: Path) -> Witness:
    return Witness(tmp_path / "witness", "witness/w1", log.signer.keys)


def refusal(witness: Witness, body: bytes) -> tuple[int, int | None]:
    with pytest.raises(WitnessRefusal) as caught:
        witness.add_checkpoint(body)
    return caught.value.status, caught.value.size


def test_cosigns_what_continues(log: Log, witness: Witness, tmp_path: Path) -> None:
    size = 0
    for larger in (7, 7, 8, 40):
        line = witness.add_checkpoint(log.request(size, larger))
        note = log.note(larger)
        cosigned = Note(note.text, (*note.signatures, parse_signature(line[:-1])))
        assert verify_checkpoint(str(cosigned), [witness.key]).signers == (witness.key,)
        size = larger
        witness = Witness(tmp_path / "witness", "witness/w1", log.signer.keys)


def test_refuses_roll_backs_and_forks(log: Log, witness: Witness, tmp_path: Path) -> None:
    witness.add_checkpoint(log.request(0, 20))
    assert refusal(witness, log.request(0, 10)) == (409, 20)
    assert refusal(witness, log.request(10, 30)) == (409, 20)
    assert refusal(witness, log.request(20, 30).replace(b"old 20", b"old 40")) == (400, None)
    fork = Log(tmp_path / "fork", b"fork")
    fork.signer = log.signer
    assert refusal(witness, fork.request(20, 20)) == (409, 20)
    assert refusal(witness, fork.request(20, 30)) == (422, None)
    witness.add_checkpoint(log.request(20, 30))


def test_refuses_what_the_log_did_not_sign(log: Log, witness: Witness, tmp_path: Path) -> None:
    other = Log(tmp_path / "other")
    assert refusal(witness, other.request(0, 20)) == (403, None)
    assert refusal(witness, log.request(0, 20).replace(b"\n20\n", b"\n21\n")) == (403, None)


@pytest.mark.parametrize("body", [b"", b"old 0", b"old 00\n\n", b"old -1\n\n", b"old 0\nAA==\n\nx", b"\xff"])
def test_refuses_what_is_malformed(witness: Witness, body: bytes) -> None:
    assert refusal(witness, body) == (400, None)


def test_remembers_one_log(log: Log, witness: Witness, tmp_path: Path) -> None:
    witness.add_checkpoint(log.request(0, 20))
    with pytest.raises(IntegrityError, match="memory of a witness of"):
        Witness(tmp_path / "witness", "witness/w1", Log(tmp_path / "other").signer.keys)
