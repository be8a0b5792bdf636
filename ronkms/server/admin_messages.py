"""What goes over the admin socket: one JSON line asks, one answers (docs/formats/admin-socket.md)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ronkms.capability.inspection import claimed_id
from ronkms.capability.wire_format import MAX_TOKEN
from ronkms.domain.operation import Operation

VERSION: Final = 1
SOCKET: Final = "admin.sock"
MAX_LINE: Final = 1 << 16
"""Bytes of a request or an answer, newline included."""
TIMEOUT_SECONDS: Final = 10.0

_MAX_NAMES: Final = 64

CorrId = Annotated[str, Meta(max_length=64, pattern=r"^[A-Za-z0-9._-]*$")]
Time = Annotated[datetime, Meta(tz=True)]
Name = Annotated[str, Meta(max_length=128)]


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``op`` names an operation of ``admin_operations``; ``args`` is one of the ``...Arguments``."""

    v: int
    op: Name
    args: msgspec.Raw = msgspec.Raw(b"{}")
    corr_id: CorrId = ""


class Fault(msgspec.Struct, frozen=True):
    """``code`` as in the HTTP API."""

    code: str
    message: str


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """``result`` or ``error``."""

    v: int
    result: Any = None
    error: Fault | None = None


class WithSecrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments that hold tokens."""

    def for_audit(self) -> msgspec.Struct:
        """What the audit record says of them."""
        raise NotImplementedError


class DigestArguments(WithSecrets, frozen=True):
    """``data``: the input of a digest under ``epoch``; a guess of the auditor's."""

    epoch: Annotated[int, Meta(ge=0)]
    data: Annotated[bytes, Meta(min_length=1)]

    def for_audit(self) -> msgspec.Struct:
        """Without the guess."""
        return EpochArguments(self.epoch)


class EpochArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An epoch of digest keys."""

    epoch: Annotated[int, Meta(ge=0)]


class InputDigest(msgspec.Struct, frozen=True):
    """Hex."""

    digest: str


class DigestEpoch(msgspec.Struct, frozen=True):
    """``escrowed_to``: fingerprint of the auditor's key, or empty. Times: Unix seconds, 0 for never."""

    number: int
    record: int
    check: str
    escrowed_to: str
    created_at: int
    retired_at: int
    destroyed_at: int


class DigestEpochs(msgspec.Struct, frozen=True):
    """Oldest first."""

    epochs: list[DigestEpoch]


class NoArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For operations that take nothing."""


class MintArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A right for each of ``ops`` on each of ``keys`` (patterns), until ``ttl`` seconds from now and
    ``deadline``; the rest is as in ``capability.attenuate.Attenuation``. Times are RFC 3339."""

    tenant: Name
    ops: Annotated[list[Operation], Meta(min_length=1, max_length=_MAX_NAMES)]
    ttl: int | None = None
    keys: Annotated[list[Name], Meta(min_length=1, max_length=_MAX_NAMES)] = msgspec.field(
        default_factory=lambda: ["*"]
    )
    client_certs: Annotated[list[Name], Meta(max_length=_MAX_NAMES)] = msgspec.field(default_factory=list)
    algs: Annotated[list[Name], Meta(max_length=_MAX_NAMES)] = msgspec.field(default_factory=list)
    digests: Annotated[list[Name], Meta(max_length=_MAX_NAMES)] = msgspec.field(default_factory=list)
    not_before: Time | None = None
    deadline: Time | None = None
    max_delegations: int | None = None


class ExplainArguments(WithSecrets, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A request that the token would go with. What is empty it does not state, but of a stored key ``alg`` is
    found out. ``digest``, ``client_cert``: SHA-256, lower-case hex. ``time``: by default now. ``action``, an
    ``operationId`` of the API: ask the external policy too, as of now, for a client at ``source``."""

    token: Annotated[str, Meta(max_length=MAX_TOKEN)]
    op: Operation
    key_id: Name = ""
    alg: Name = ""
    digest: Name = ""
    client_cert: Name = ""
    time: Time | None = None
    action: Name = ""
    source: Name = ""

    def for_audit(self) -> msgspec.Struct:
        """The id that the token claims, instead of the token."""
        return msgspec.structs.replace(self, token=claimed_id(self.token))


class RevokeArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``id``: 32 or more hex digits, a block's revocation id or its beginning."""

    id: Name


class RotateArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``overlap`` in seconds: how long tokens of the roots before are good."""

    overlap: int


class WithdrawArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``root``: its number."""

    root: int


class SweepArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``all``: drop every entry, not the expired alone."""

    all: bool = False


class Status(msgspec.Struct, frozen=True):
    """Where the server is and how it stands. ``api`` is host:port; ``missing`` as in ``/readyz``."""

    version: str
    pid: int
    api: str
    metrics: str
    tls: bool
    missing: list[str]
    capability_root: int


class MintedToken(msgspec.Struct, frozen=True):
    """``expires_at`` in Unix seconds. ``notice``: what keeps the token from being good as it is."""

    token: str
    token_id: str
    expires_at: int
    notice: str = ""


class RevokedBlock(msgspec.Struct, frozen=True):
    """A revocation in force; ``at`` in Unix seconds."""

    id: str
    at: int


class RevokedBlocks(msgspec.Struct, frozen=True):
    """The newest revocations, newest first; ``count`` is how many there are."""

    count: int
    revoked: list[RevokedBlock]


class CapabilityRoot(msgspec.Struct, frozen=True):
    """``public``: hex, 32 bytes Ed25519. ``until``: end of a retired root's tokens, Unix seconds."""

    number: int
    public: str
    created_at: int
    until: int | None


class CapabilityRoots(msgspec.Struct, frozen=True):
    """The roots in use; the newest mints."""

    roots: list[CapabilityRoot]


class RootNumber(msgspec.Struct, frozen=True):
    """A root's number."""

    root: int


class ConfigText(msgspec.Struct, frozen=True):
    """The settings in force as TOML."""

    toml: str


class Swept(msgspec.Struct, frozen=True):
    """How many cache entries were dropped."""

    dropped: int


class AuditHead(msgspec.Struct, frozen=True):
    """The audit log's end: an anchor for ``ronctl audit verify``."""

    records: int
    leaf: str


class AuditKeys(msgspec.Struct, frozen=True):
    """Verifier keys of the audit log that sign from now on (docs/formats/checkpoint.md)."""

    keys: list[str]


class SinkArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``name`` of an audit sink."""

    name: Name


class SinkTest(msgspec.Struct, frozen=True):
    """The sink has passed the test once its next record is later than ``record``."""

    record: int


class AuditSinkState(msgspec.Struct, frozen=True):
    """``state``: starting, up or down; ``reason``: why it is not up, or holds operations back; ``record``:
    the next to deliver; ``lag``: records that wait; ``since``: of the state, Unix seconds; ``target``
    without its query. The counts are those since the server's start."""

    name: str
    target: str
    policy: str
    format: str
    state: str
    holding: bool
    reason: str
    record: int
    lag: int
    since: int
    delivered: int
    dropped: int
    cut: int
    errors: int
    last_error: str


class AuditSinks(msgspec.Struct, frozen=True):
    """``pid`` of the process that feeds them, 0 without one; ``records`` of the log."""

    pid: int
    records: int
    sinks: list[AuditSinkState]
