"""Signed notes (C2SP signed-note): text, and signature lines by keys that have a name. No I/O.

Types of signatures: Ed25519 over the text (0x01), a witness's Ed25519 cosignature (0x04, C2SP
tlog-cosignature) and the ML-DSA-44 cosignature (0x06). See docs/formats/checkpoint.md.
"""

from __future__ import annotations

import base64
import binascii
import re
from hashlib import sha256
from typing import Final, NamedTuple

from ronkms.errors import IntegrityError

ED25519: Final = 0x01
WITNESS_ED25519: Final = 0x04
ML_DSA_44: Final = 0x06
ALG_OF_TYPE: Final = {ED25519: "Ed25519", WITNESS_ED25519: "Ed25519", ML_DSA_44: "ML-DSA-44"}
MAX_NOTE: Final = 1 << 16
"""Longest note in bytes."""

_DASH: Final = "— "
_SIZES: Final = {ED25519: 32, WITNESS_ED25519: 32, ML_DSA_44: 1312}
_NAME: Final = re.compile(r"[^\s+]{1,255}")


class NoteKey(NamedTuple):
    """A public key with its name and the type of its signatures (one of ``ALG_OF_TYPE``)."""

    name: str
    type: int
    public: bytes

    @property
    def id(self) -> bytes:
        """4 bytes: SHA-256(name || 0x0A || type || public key)[:4]."""
        return sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.public).digest()[:4]

    def encoded(self) -> str:
        """A verifier key: ``name+id+base64(type || public key)``."""
        return f"{self.name}+{self.id.hex()}+{_to_base64(bytes([self.type]) + self.public)}"

    @staticmethod
    def parse(text: str) -> NoteKey:
        """Inverse of ``encoded``. Raises ValueError: what is wrong."""
        name, _, rest = text.strip().partition("+")
        key_id, _, material = rest.partition("+")
        raw = from_base64(material)
        if not _NAME.fullmatch(name) or not raw or _SIZES.get(raw[0]) != len(raw) - 1:
            raise ValueError("is not a verifier key NAME+ID+KEY of type 1, 4 or 6")
        key = NoteKey(name, raw[0], raw[1:])
        if key.id.hex() != key_id:
            raise ValueError("has an id that is not its key's: mistyped or cut")
        return key


class SignatureLine(NamedTuple):
    """``signature``: what follows the key id."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {_to_base64(self.key_id + self.signature)}\n"


class Note(NamedTuple):
    """``text`` ends with a newline."""

    text: str
    signatures: tuple[SignatureLine, ...]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.signatures))}"

    @staticmethod
    def parse(encoded: str) -> Note:
        """Raises IntegrityError: not a signed note."""
        text, separator, rest = encoded.rpartition("\n\n")
        if not separator or not rest.endswith("\n") or len(encoded) > MAX_NOTE:
            raise IntegrityError("the checkpoint is not a signed note: text, empty line, signatures")
        if any(character < " " and character != "\n" for character in encoded):
            raise IntegrityError("the checkpoint has control characters")
        return Note(text + "\n", tuple(parse_signature(line) for line in rest[:-1].split("\n")))


def parse_signature(line: str) -> SignatureLine:
    """One signature line without its newline. Raises IntegrityError."""
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    try:
        raw = from_base64(encoded)
    except ValueError:
        raw = b""
    if not line.startswith(_DASH) or not _NAME.fullmatch(name) or len(raw) < 5:
        raise IntegrityError("the checkpoint has a malformed signature line")
    return SignatureLine(name, raw[:4], raw[4:])


def from_base64(text: str) -> bytes:
    """RFC 4648 section 4, padded. Raises ValueError."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("is not base64") from error
    if _to_base64(raw) != text:
        raise ValueError("is not canonical base64")
    return raw


def _to_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
