"""A verifier of audit logs written from the pages audit*.md and checkpoint.md alone.

It shares no code with the server: the standard library and ``cryptography``. Usage:

    python independent_audit_verifier.py AUDIT_DIRECTORY VKEY... [--archive DIRECTORY] [--checkpoint FILE]...
        [--proof FILE]...

Prints what it proved; raises ``Fault`` with the place of what does not hold.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey


class Fault(Exception):
    """What does not hold, and where."""


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def segments(directory: Path) -> dict[int, Path]:
    found = {}
    for path in directory.iterdir():
        if name := re.fullmatch(r"audit-(\d{8,})\.jsonl", path.name):
            found[int(name[1])] = path
    return found


class Log(NamedTuple):
    """``leaves``: of all records; ``left``: how many are not here; ``said``: the record that says so."""

    leaves: list[bytes]
    left: int
    said: int


def read_log(directory: Path, archive: Path | None) -> Log:
    """The chain holds from the first record that is here to the last; what left is accounted for."""
    numbers = segments(directory)
    if archive is not None:
        copies = segments(archive)
        for number in set(copies) & set(numbers):
            if copies[number].read_bytes() != numbers[number].read_bytes():
                raise Fault(f"segment {number} is another in the archive")
        numbers = copies | numbers
    first, last = min(numbers), max(numbers)
    if archive is not None and first > 1:
        raise Fault("segment 1 is missing")
    left = json.loads(numbers[first].open("rb").readline())["seq"] if first > 1 else 0
    tree = directory / "tree" / "level-00"
    hashes = tree.read_bytes()[: 32 * left] if left else b""
    if len(hashes) < 32 * left:
        raise Fault("the tree lacks the leaves of what left")
    leaves = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
    removal: dict[str, Any] | None = None
    said = -1
    epochs: dict[int, str] = {}
    previous = leaves[-1].hex() if leaves else "0" * 64
    for number in range(first, last + 1):
        if number not in numbers:
            raise Fault(f"segment {number} is missing")
        parts = numbers[number].read_bytes().split(b"\n")
        if parts.pop() and number != last:
            raise Fault(f"segment {number} ends within a record")
        for place, line in enumerate(parts, start=1):
            where = f"segment {number} line {place}"
            if not line.startswith(b'{"seq":%d,"prev":"%s","time":"' % (len(leaves), previous.encode())):
                raise Fault(f"{where}: number or link")
            try:
                record = json.loads(line)
            except ValueError:
                raise Fault(f"{where}: not JSON") from None
            if not isinstance(record, dict) or not isinstance(record.get("v"), int):
                raise Fault(f"{where}: no record")
            epoch, check = record.get("dk"), record.get("check")
            if record.get("op") == "digest_key":
                if not left and epoch > max(epochs, default=0) + 1:
                    raise Fault(f"{where}: digest key {epoch} was announced out of turn")
                if epochs.setdefault(epoch, check) != check:
                    raise Fault(f"{where}: digest key {epoch} was announced as another")
            elif epoch is not None and not left and epoch not in epochs:
                raise Fault(f"{where}: digest key {epoch} was not announced")
            if record.get("op") == "retention":
                if removal is not None and record["retention"]["segments"] < removal["segments"]:
                    raise Fault(f"{where}: a removal goes back")
                removal = record["retention"]
                if removal["segments"] >= first - 1 and said < 0:
                    said = len(leaves)
                if removal["segments"] == first - 1 and removal["records"] != left:
                    raise Fault("another number of records left than the log says")
            leaves.append(sha256(b"\x00" + line))
            previous = leaves[-1].hex()
    if first > 1 and (removal is None or removal["segments"] < first - 1):
        raise Fault("segments are missing, and no record says that they left")
    return Log(leaves, left, said)


def tree_hash(leaves: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, level by level: an odd last node moves up as it is."""
    if not leaves:
        return sha256(b"")
    while len(leaves) > 1:
        pairs = [sha256(b"\x01" + a + b) for a, b in zip(leaves[::2], leaves[1::2], strict=False)]
        leaves = pairs + leaves[len(pairs) * 2 :]
    return leaves[0]


class Key:
    """A verifier key."""

    def __init__(self, vkey: str) -> None:
        self.name, key_id, material = vkey.strip().split("+", 2)
        raw = base64.b64decode(material, validate=True)
        self.kind, public = raw[0], raw[1:]
        self.id = sha256(self.name.encode() + b"\n" + raw)[:4]
        if self.id.hex() != key_id:
            raise Fault(f"the id of the key {vkey[:60]} is wrong")
        self.public: Ed25519PublicKey | MLDSA44PublicKey
        if self.kind == 6:
            self.public = MLDSA44PublicKey.from_public_bytes(public)
        else:
            self.public = Ed25519PublicKey.from_public_bytes(public)

    def verify(self, text: str, signature: bytes) -> None:
        """Raises InvalidSignature."""
        origin, size, root = text.split("\n")[:3]
        if self.kind == 1:
            self.public.verify(signature, text.encode())
            return
        time, signature = signature[:8], signature[8:]
        if self.kind == 4:
            head = f"cosignature/v1\ntime {int.from_bytes(time, 'big')}\n"
            self.public.verify(signature, head.encode() + text.encode())
            return
        message = b"subtree/v1\n\0" + bytes([len(self.name.encode())]) + self.name.encode() + time
        message += bytes([len(origin.encode())]) + origin.encode() + bytes(8)
        message += int(size).to_bytes(8, "big") + base64.b64decode(root)
        self.public.verify(signature, message)


def checkpoint(note: str, keys: list[Key]) -> tuple[str, int, bytes, set[int]]:
    """(origin, size, root, kinds of signature that verified) of a signed note."""
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    origin, size, root, end = text.split("\n")
    if end:
        raise Fault("a checkpoint has three lines")
    kinds = set()
    for line in signatures.splitlines():
        dash, name, encoded = line.split(" ")
        if dash != "—":
            raise Fault("a signature line begins with a dash")
        raw = base64.b64decode(encoded, validate=True)
        for key in keys:
            if (key.name, key.id) == (name, raw[:4]):
                try:
                    key.verify(text, raw[4:])
                except InvalidSignature:
                    raise Fault(f"signature of kind {key.kind} on the checkpoint of {size}") from None
                kinds.add(key.kind)
    if not kinds:
        raise Fault(f"no known signature on the checkpoint of {size}")
    return origin, int(size), base64.b64decode(root, validate=True), kinds


def stored_checkpoints(directory: Path) -> list[str]:
    """The notes in the history, and the latest."""
    notes = []
    history = directory / "checkpoints" / "history"
    data = history.read_bytes() if history.exists() else b""
    while b"\n" in data:
        length, _, rest = data.partition(b"\n")
        if len(rest) < int(length):
            break
        notes.append(rest[: int(length)].decode())
        data = rest[int(length) :]
    latest = directory / "checkpoints" / "latest"
    return [*notes, latest.read_text()] if latest.exists() else notes


def verify_log(
    directory: Path, archive: Path | None, keys: list[Key], kept: list[str]
) -> tuple[Log, int, set[int]]:
    """(log, checkpoints, kinds of signatures that every checkpoint has)."""
    log = read_log(directory, archive)
    leaves = log.leaves
    signed = 0
    notes = stored_checkpoints(directory) + kept
    common = {1, 4, 6}
    for note in notes:
        _, size, root, kinds = checkpoint(note, keys)
        if size > len(leaves):
            raise Fault(f"a checkpoint of {size} records, the log has {len(leaves)}")
        if tree_hash(leaves[:size]) != root:
            raise Fault(f"the root of {size} records is another")
        common &= kinds
        signed = max(signed, size)
    if log.left and log.said >= signed:
        raise Fault("the record that says what left is under no checkpoint")
    return log, len(notes), common


def verify_inclusion(document: dict[str, Any], keys: list[Key]) -> int:
    """The number of the record that the proof shows. Recursive, from RFC 9162 section 2.1.3.1."""
    _, size, root, _ = checkpoint(document["checkpoint"], keys)
    index, path = document["index"], [base64.b64decode(each) for each in document["hashes"]]
    if size != document["size"] or not 0 <= index < size:
        raise Fault("size or index")

    def climb(position: int, count: int) -> bytes:
        if count == 1:
            return sha256(b"\x00" + document["record"].encode())
        split = 1 << ((count - 1).bit_length() - 1)
        if not path:
            raise Fault("the path is too short")
        sibling = path.pop()
        if position < split:
            return sha256(b"\x01" + climb(position, split) + sibling)
        return sha256(b"\x01" + sibling + climb(position - split, count - split))

    if climb(index, size) != root or path:
        raise Fault("the path does not lead to the root")
    if json.loads(document["record"])["seq"] != index:
        raise Fault("the record has another number")
    return int(index)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("keys", nargs="+")
    parser.add_argument("--archive", type=Path)
    parser.add_argument("--checkpoint", type=Path, action="append", default=[])
    parser.add_argument("--proof", type=Path, action="append", default=[])
    given = parser.parse_args()
    keys = [Key(each) for each in given.keys]
    kept = [path.read_text() for path in given.checkpoint]
    log, notes, kinds = verify_log(given.directory, given.archive, keys, kept)
    for path in given.proof:
        print(f"proof of record {verify_inclusion(json.loads(path.read_bytes()), keys)}")
    if log.left:
        print(f"records 0 to {log.left - 1} have left: their contents were not verified")
    print(f"{len(log.leaves)} records, {notes} checkpoints, signatures of kinds {sorted(kinds)} on each")


if __name__ == "__main__":
    main()
