"""A verifier of audit logs written from audit.md, audit-digest.md and checkpoint.md in docs/formats alone.

It shares no code with the server: the standard library and ``cryptography``. Usage:

    python independent_audit_verifier.py AUDIT_DIRECTORY VKEY... [--checkpoint FILE]... [--proof FILE]...

Prints what it proved; raises ``Fault`` with the place of what does not hold.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey


class Fault(Exception):
    """What does not hold, and where."""


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def records(directory: Path) -> list[bytes]:
    """The lines of all segments; the chain holds from the first to the last."""
    numbers = {}
    for path in directory.iterdir():
        if found := re.fullmatch(r"audit-(\d{8,})\.jsonl", path.name):
            numbers[int(found[1])] = path
    lines: list[bytes] = []
    epochs: dict[int, str] = {}
    previous = "0" * 64
    for number in range(1, len(numbers) + 1):
        if number not in numbers:
            raise Fault(f"segment {number} is missing")
        parts = numbers[number].read_bytes().split(b"\n")
        if parts.pop() and number != len(numbers):
            raise Fault(f"segment {number} ends within a record")
        for place, line in enumerate(parts, start=1):
            where = f"segment {number} line {place}"
            if not line.startswith(b'{"seq":%d,"prev":"%s","time":"' % (len(lines), previous.encode())):
                raise Fault(f"{where}: number or link")
            try:
                record = json.loads(line)
            except ValueError:
                raise Fault(f"{where}: not JSON") from None
            if not isinstance(record, dict) or not isinstance(record.get("v"), int):
                raise Fault(f"{where}: no record")
            epoch, check = record.get("dk"), record.get("check")
            if record.get("op") == "digest_key":
                if epoch > max(epochs, default=0) + 1 or epochs.setdefault(epoch, check) != check:
                    raise Fault(f"{where}: digest key {epoch} was announced out of turn, or is another")
            elif epoch is not None and epoch not in epochs:
                raise Fault(f"{where}: digest key {epoch} was not announced")
            lines.append(line)
            previous = sha256(b"\x00" + line).hex()
    return lines


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


def verify_log(directory: Path, keys: list[Key], kept: list[str]) -> tuple[int, int, set[int]]:
    """(records, checkpoints, kinds of signatures that every checkpoint has)."""
    lines = records(directory)
    leaves = [sha256(b"\x00" + line) for line in lines]
    notes = stored_checkpoints(directory) + kept
    common = {1, 4, 6}
    for note in notes:
        _, size, root, kinds = checkpoint(note, keys)
        if size > len(lines):
            raise Fault(f"a checkpoint of {size} records, the log has {len(lines)}")
        if tree_hash(leaves[:size]) != root:
            raise Fault(f"the root of {size} records is another")
        common &= kinds
    return len(lines), len(notes), common


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
    parser.add_argument("--checkpoint", type=Path, action="append", default=[])
    parser.add_argument("--proof", type=Path, action="append", default=[])
    given = parser.parse_args()
    keys = [Key(each) for each in given.keys]
    count, notes, kinds = verify_log(given.directory, keys, [path.read_text() for path in given.checkpoint])
    for path in given.proof:
        print(f"proof of record {verify_inclusion(json.loads(path.read_bytes()), keys)}")
    print(f"{count} records, {notes} checkpoints, signatures of kinds {sorted(kinds)} on each")


if __name__ == "__main__":
    main()
