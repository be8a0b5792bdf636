"""The entries of the policy journal (docs/formats/policy.md). No I/O."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ronkms.policy.pq import VerifyMode

Percent = Annotated[int, Meta(ge=0, le=100)]


class DefaultsSet(msgspec.Struct, frozen=True, tag="defaults", tag_field="type", forbid_unknown_fields=True):
    """The server started with other settings than before."""

    verify_mode: VerifyMode
    produce_hybrid: bool
    rollout_percent: Percent
    at: int


class ScopeSet(
    msgspec.Struct,
    frozen=True,
    tag="set",
    tag_field="type",
    forbid_unknown_fields=True,
    omit_defaults=True,
    kw_only=True,
):
    """All that is set for a tenant, or for one of its keys; what is left out is inherited."""

    tenant: str
    key_id: str = ""
    verify_mode: VerifyMode | None = None
    produce_hybrid: bool | None = None
    rollout_percent: Percent | None = None
    at: int

    @property
    def empty(self) -> bool:
        """True if everything is inherited."""
        return self.verify_mode is None and self.produce_hybrid is None and self.rollout_percent is None


class Locked(
    msgspec.Struct, frozen=True, tag="lock", tag_field="type", forbid_unknown_fields=True, kw_only=True
):
    """The accept set of a tenant or key only shrinks from now on."""

    tenant: str
    key_id: str = ""
    verify_mode: VerifyMode
    classical_excluded: bool
    at: int


class Excepted(
    msgspec.Struct, frozen=True, tag="except", tag_field="type", forbid_unknown_fields=True, kw_only=True
):
    """``verify_mode`` holds for the tenant or key whatever its lock says, before ``expires_at``.

    Times are Unix seconds. ``requested_by``, ``approved_by``: token ids of the two capabilities."""

    tenant: str
    key_id: str = ""
    name: str
    reason: str
    verify_mode: VerifyMode
    expires_at: int
    requested_by: str
    approved_by: str
    at: int


class ExceptionEnded(
    msgspec.Struct, frozen=True, tag="end", tag_field="type", forbid_unknown_fields=True, kw_only=True
):
    """The exception of that name is over, by its time or by an operator."""

    tenant: str
    key_id: str = ""
    name: str
    at: int


def exception_statement(
    *, tenant: str, key_id: str, name: str, reason: str, verify_mode: VerifyMode, ttl: int
) -> bytes:
    """What an admin signs who agrees to an exception (docs/formats/policy.md, "Approval").

    ``ttl`` in seconds."""
    return _encoder.encode(
        {
            "policy.except": {
                "tenant": tenant,
                "key_id": key_id,
                "name": name,
                "reason": reason,
                "verify_mode": verify_mode.value,
                "ttl": ttl,
            }
        }
    )


Entry = DefaultsSet | ScopeSet | Locked | Excepted | ExceptionEnded

_decoder: Final[msgspec.json.Decoder[Entry]] = msgspec.json.Decoder(Entry)
_encoder: Final = msgspec.json.Encoder()


def encode_entry(entry: Entry) -> bytes:
    """One journal entry as compact JSON."""
    return _encoder.encode(entry)


def decode_entry(line: bytes) -> Entry:
    """The entry. Raises msgspec.MsgspecError."""
    return _decoder.decode(line)
