"""What an audit sink is: its settings, and what its target means (docs/formats/audit-sinks.md). No I/O."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final, Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Meta

MAX_SINKS: Final = 8

Kind = Literal["file", "unix", "udp", "tcp", "tls", "http"]

SYSLOG: Final[frozenset[Kind]] = frozenset({"unix", "udp", "tcp", "tls"})
FACILITIES: Final = {
    "kern": 0,
    "user": 1,
    "daemon": 3,
    "auth": 4,
    "authpriv": 10,
    "audit": 13,
    **{f"local{number}": 16 + number for number in range(8)},
}
"""RFC 5424 table 1."""

_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")


class AuditSink(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one sink; those that its kind does not know have their default."""

    name: Annotated[
        str,
        Meta(
            description="In metrics, events, the name of its position file.",
            pattern=r"^[a-z0-9][a-z0-9_-]{0,31}\Z",
            extra={"form": "sink name", "required": True},
        ),
    ]
    target: Annotated[
        str,
        Meta(description="Where the records go.", extra={"form": "sink target", "required": True}),
    ]
    policy: Annotated[
        Literal["best_effort", "required"],
        Meta(description="`required`: operations are refused while it does not take the records."),
    ] = "best_effort"
    format: Annotated[Literal["jsonl", "cef", "ocsf"], Meta(description="What a record becomes.")] = "jsonl"
    start: Annotated[
        Literal["end", "beginning"],
        Meta(description="Where a sink that has no position yet begins in the log."),
    ] = "end"
    max_delay_ms: Annotated[
        int,
        Meta(
            description="Longest wait of a record, in milliseconds, before the sink counts as stuck and,"
            " if it is required, holds operations back.",
            ge=100,
            le=600_000,
        ),
    ] = 1000
    max_lag: Annotated[
        int, Meta(description="Most records that may wait for a required sink.", ge=1, le=10_000_000)
    ] = 10_000
    max_backlog: Annotated[
        int,
        Meta(
            description="Records that wait for a best-effort sink before it skips to half of that, and"
            " reports it; 0: it never skips.",
            ge=0,
            le=1_000_000_000,
        ),
    ] = 0
    timeout_ms: Annotated[
        int,
        Meta(
            description="Longest wait for a connection, for room in it, for an acknowledgement or an answer,"
            " in milliseconds. Not for `file:`.",
            ge=100,
            le=60_000,
        ),
    ] = 5000
    backoff_max_ms: Annotated[
        int, Meta(description="Longest pause between attempts, in milliseconds.", ge=100, le=300_000)
    ] = 5000
    batch_records: Annotated[
        int, Meta(description="Most records of one write, wait or request.", ge=1, le=10_000)
    ] = 500
    batch_bytes: Annotated[
        int,
        Meta(
            description="Most bytes of one request; a longer record goes alone. `http` alone.",
            ge=1024,
            le=1 << 24,
        ),
    ] = 1 << 20
    message_bytes: Annotated[
        int,
        Meta(
            description="Longest syslog message in bytes; what is longer is cut, marked and counted.",
            ge=480,
            le=65_000,
        ),
    ] = 8192
    facility: Annotated[
        Literal[
            "kern",
            "user",
            "daemon",
            "auth",
            "authpriv",
            "audit",
            "local0",
            "local1",
            "local2",
            "local3",
            "local4",
            "local5",
            "local6",
            "local7",
        ],
        Meta(description="Of syslog messages."),
    ] = "audit"
    resend: Annotated[
        int,
        Meta(
            description="Records that are sent again after a `tcp` or `tls` connection broke.",
            ge=0,
            le=100_000,
        ),
    ] = 1000
    token_file: Annotated[
        str,
        Meta(description="File whose first line is the bearer token, for `http`.", extra={"form": "path"}),
    ] = ""
    ca_file: Annotated[
        str,
        Meta(
            description="PEM file of the authorities of the peer's certificate; the system's if empty. For"
            " `tls` and `https`.",
            extra={"form": "path"},
        ),
    ] = ""
    cert_file: Annotated[
        str,
        Meta(
            description="PEM file with a certificate chain to show to the peer, for `tls` and `https`.",
            extra={"form": "path"},
        ),
    ] = ""
    key_file: Annotated[
        str, Meta(description="PEM file with the key of `cert_file`.", extra={"form": "path"})
    ] = ""

    @property
    def required(self) -> bool:
        """Whether operations need it."""
        return self.policy == "required"

    @property
    def place(self) -> Target:
        """``target``, parsed. Raises ValueError."""
        return parse_target(self.target)


class Target(NamedTuple):
    """Where a sink's records go."""

    kind: Kind
    path: str
    """Of ``file`` and ``unix``; of ``http`` with its query."""
    host: str
    port: int
    secure: bool
    """TLS."""

    @property
    def loopback(self) -> bool:
        """True if the records do not leave the machine."""
        if self.kind in ("file", "unix") or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_target(text: str) -> Target:
    """Raises ValueError, without the text: a URL may hold a secret."""
    if not text.isprintable() or " " in text:
        raise ValueError("a target is one URL")
    parts = urlsplit(text)
    if parts.fragment or "@" in parts.netloc:
        raise ValueError("a target has neither user, password nor fragment")
    match parts.scheme:
        case "file" | "unix":
            if parts.netloc or parts.query or not parts.path.startswith("/") or parts.path.endswith("/"):
                raise ValueError("file: and unix: need an absolute path")
            return Target("file" if parts.scheme == "file" else "unix", parts.path, "", 0, False)
        case "udp" | "tcp" | "tls":
            if parts.path or parts.query:
                raise ValueError("a syslog server is HOST:PORT")
            kind: Kind = "udp" if parts.scheme == "udp" else "tcp" if parts.scheme == "tcp" else "tls"
            return Target(kind, "", *_host_and_port(parts, 0), parts.scheme == "tls")
        case "http" | "https":
            secure = parts.scheme == "https"
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            return Target("http", path, *_host_and_port(parts, 443 if secure else 80), secure)
    raise ValueError("a target is file:, unix:, udp:, tcp:, tls:, http: or https:")


def _host_and_port(parts: SplitResult, default: int) -> tuple[str, int]:
    host, port = parts.hostname or "", parts.port or default
    if not port:
        raise ValueError("the port is missing")
    if ":" in host:
        ipaddress.IPv6Address(host)
    elif not _HOST.fullmatch(host):
        raise ValueError("the host is missing or malformed")
    return host, port
