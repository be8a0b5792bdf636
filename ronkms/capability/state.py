"""Roots and revocations: what the capability journal's entries add up to. No I/O.

Entries are JSON objects (docs/formats/capability.md): ``root`` (a new signing root, the newest mints),
``retire`` (a root's tokens are good until a date), ``withdraw`` (none of its tokens is good), ``revoke``
(a revocation id). Numbers of roots start at 1 and grow by one. A revocation is needed as long as a root
that could have signed the token is in use, which no clock decides.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ronkms.errors import IntegrityError

REVOCATION_ID_LENGTH: Final = 32
"""Hex digits that name a block: the first 16 bytes of its Biscuit revocation id, which is its Ed25519
signature. That half is the commitment R, which nobody but the signer can vary, unlike S."""


class RootAdded(
    msgspec.Struct,
    frozen=True,
    tag="root",
    tag_field="type",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """A new root. ``public``: 32 bytes, Ed25519. ``sealed``: its private key under the root of the seal.

    ``others_until`` (Unix seconds): how long tokens of the roots before are good at most; roots whose end has
    passed at ``at`` are withdrawn. So a rotation is one entry, and a crash leaves all of it or nothing."""

    number: int
    public: bytes
    sealed: bytes
    at: int
    others_until: int | None = None


class RootRetired(msgspec.Struct, frozen=True, tag="retire", tag_field="type", forbid_unknown_fields=True):
    """Tokens of root ``number`` are good until ``until`` (Unix seconds)."""

    number: int
    until: int
    at: int


class RootWithdrawn(
    msgspec.Struct, frozen=True, tag="withdraw", tag_field="type", forbid_unknown_fields=True
):
    """No token of root ``number`` is good any more."""

    number: int
    at: int


class Revoked(msgspec.Struct, frozen=True, tag="revoke", tag_field="type", forbid_unknown_fields=True):
    """No token with a block of this id is good. ``root`` is the newest root at that time."""

    id: str
    root: int
    at: int


Entry = RootAdded | RootRetired | RootWithdrawn | Revoked

_decoder: Final = msgspec.json.Decoder(Entry)
_encoder: Final = msgspec.json.Encoder()


def encode(entry: Entry) -> bytes:
    """One journal entry as compact JSON; bytes in base64."""
    return _encoder.encode(entry)


class Root(msgspec.Struct, frozen=True):
    """A root whose tokens are good; ``until`` (Unix seconds) bounds those of a retired one."""

    number: int
    public: bytes
    sealed: bytes
    created_at: int
    until: int | None = None


class CapabilityState:
    """Roots in use and revoked ids. ``revision`` changes with every entry."""

    def __init__(self) -> None:
        self.roots: dict[int, Root] = {}
        self.revoked: dict[str, Revoked] = {}
        self.newest = 0
        self.revision = 0

    def apply(self, seq: int, entry: bytes) -> None:
        """Applies the journal's entry number ``seq``. Raises :class:`IntegrityError` if it does not fit."""
        try:
            decoded = _decoder.decode(entry)
        except msgspec.MsgspecError as error:
            raise IntegrityError(f"capability journal: entry {seq} is of an unknown form ({error})") from None
        self.check(decoded)
        self._apply(decoded)
        self.revision += 1

    def check(self, entry: Entry) -> None:
        """Raises :class:`IntegrityError` if ``entry`` cannot follow. To be asked before it is written."""
        match entry:
            case RootAdded():
                if entry.number <= self.newest or len(entry.public) != 32:
                    raise IntegrityError(f"capability journal: root {entry.number} follows {self.newest}")
            case RootRetired() | RootWithdrawn():
                if entry.number not in self.roots:
                    raise IntegrityError(f"capability journal: root {entry.number} is not in use")

    def _apply(self, entry: Entry) -> None:
        match entry:
            case RootAdded():
                root = Root(entry.number, entry.public, entry.sealed, entry.at)
                self._keep_roots({**self._after_rotation(entry), entry.number: root}, entry.number)
                self.newest = entry.number
            case RootRetired():
                root = msgspec.structs.replace(self.roots[entry.number], until=entry.until)
                self.roots = {**self.roots, entry.number: root}
            case RootWithdrawn():
                kept = {number: root for number, root in self.roots.items() if number != entry.number}
                self._keep_roots(kept, self.newest + 1)
            case Revoked():
                self.revoked[entry.id] = entry

    def _after_rotation(self, entry: RootAdded) -> dict[int, Root]:
        if entry.others_until is None:
            return self.roots
        ends = {
            number: entry.others_until if root.until is None else min(root.until, entry.others_until)
            for number, root in self.roots.items()
            if root.until is None or root.until > entry.at
        }
        return {
            number: msgspec.structs.replace(self.roots[number], until=until) for number, until in ends.items()
        }

    def _keep_roots(self, kept: dict[int, Root], oldest: int) -> None:
        """``oldest``: what counts as the oldest root if none is kept."""
        if self.roots.keys() - kept.keys():
            oldest = min(kept, default=oldest)
            self.revoked = {key: value for key, value in self.revoked.items() if value.root >= oldest}
        self.roots = kept

    def live_count(self) -> int:
        """How many entries ``live_entries`` gives."""
        return (
            len(self.roots) + sum(root.until is not None for root in self.roots.values()) + len(self.revoked)
        )

    def live_entries(self) -> list[bytes]:
        """The shortest journal that adds up to this state, for compaction."""
        entries: list[Entry] = []
        for number in sorted(self.roots):
            root = self.roots[number]
            entries.append(RootAdded(number, root.public, root.sealed, root.created_at))
            if root.until is not None:
                entries.append(RootRetired(number, root.until, root.created_at))
        entries.extend(self.revoked.values())
        return [encode(entry) for entry in entries]

    def first_revoked(self, ids: tuple[str, ...]) -> int | None:
        """Number of the first of a token's blocks that is revoked (``ids``: ``revocation_id`` of each)."""
        return next((number for number, block in enumerate(ids) if block in self.revoked), None)


def revocation_id(signature_hex: str) -> str:
    """What names a block in the journal, from the hex that the Biscuit library gives."""
    return signature_hex[:REVOCATION_ID_LENGTH]
