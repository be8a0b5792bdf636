"""Every setting once: name, type, range, default and meaning.

A setting ``name`` is the TOML key ``name`` and the environment variable ``KMS_NAME``. ``docs/CONFIG.md``
is made from this page (``python -m ronkms.config.document``).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ronkms.config.address import Address, parse_address
from ronkms.domain.audit_sink import AuditSink

FailOpenClass = Literal["sign", "verify", "wrap", "unwrap", "lifecycle", "read", "admin"]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration of one server. Paths and addresses are text; ``""`` is "not set"."""

    api_addr: Annotated[
        str,
        Meta(
            description="Address of the HTTP API. One that is not loopback needs TLS or `allow_plaintext`.",
            extra={"group": "Addresses", "form": "address"},
        ),
    ] = "127.0.0.1:9446"
    grpc_addr: Annotated[
        str,
        Meta(
            description="Address of the gRPC API; off when empty. Not built in this version.",
            extra={"form": "optional address"},
        ),
    ] = ""
    metrics_addr: Annotated[
        str, Meta(description="Address of `/healthz`, `/readyz` and `/metrics`.", extra={"form": "address"})
    ] = "127.0.0.1:9909"
    tls_cert: Annotated[
        str,
        Meta(
            description="PEM file with the API's certificate chain. Read again when it changes.",
            extra={"group": "TLS", "form": "path"},
        ),
    ] = ""
    tls_key: Annotated[
        str, Meta(description="PEM file with the key of `tls_cert`.", extra={"form": "path"})
    ] = ""
    tls_client_ca: Annotated[
        str,
        Meta(
            description="PEM file of the authorities whose client certificates are demanded (mutual TLS).",
            extra={"form": "path"},
        ),
    ] = ""
    cap_bind_required: Annotated[
        bool,
        Meta(
            description="Refuse capabilities that are bound to no client certificate. Needs `tls_client_ca`."
        ),
    ] = False
    allow_plaintext: Annotated[
        bool, Meta(description="Serve an address that is not loopback without TLS (behind a TLS proxy).")
    ] = False

    data_dir: Annotated[
        str,
        Meta(
            description="Directory of `keystore/`, `audit/`, `bus/`, `capability/`, `policy/` and `usage/`;"
            " made with mode 0700.",
            extra={"group": "Custody", "form": "path", "required": True},
        ),
    ] = "/var/lib/ron-kms"
    seal: Annotated[
        Literal["passphrase", "keyfile", "dev", "tpm", "pkcs11"],
        Meta(
            description="What protects the root key of the data directory. `dev` is a throw-away seal that"
            " serves loopback only. `tpm` and `pkcs11` are not built in this version."
        ),
    ] = "passphrase"
    seal_passphrase_file: Annotated[
        str,
        Meta(
            description="File whose first line is the passphrase; needed by seal `passphrase`. Default: the"
            " systemd credential `ron-kms.seal-passphrase`, if there is one.",
            extra={"form": "path"},
        ),
    ] = ""
    seal_keyfile: Annotated[
        str,
        Meta(
            description="File with 32 or more random bytes; needed by seal `keyfile`. Default: the systemd"
            " credential `ron-kms.seal-keyfile`, if there is one.",
            extra={"form": "path"},
        ),
    ] = ""
    backend: Annotated[
        Literal["file", "pkcs11", "tpm"],
        Meta(description="Where new keys live. `pkcs11` and `tpm` are not built in this version."),
    ] = "file"
    pkcs11_module: Annotated[
        str,
        Meta(
            description="PKCS#11 library of backend `pkcs11`. No effect in this version.",
            extra={"form": "path"},
        ),
    ] = ""
    pkcs11_pin_file: Annotated[
        str,
        Meta(
            description="File whose first line is the PIN of backend `pkcs11`. No effect in this version.",
            extra={"form": "path"},
        ),
    ] = ""
    store: Annotated[
        Literal["file", "postgres"],
        Meta(description="Where metadata and sealed material live. `postgres` is not built in this version."),
    ] = "file"
    bus: Annotated[
        Literal["local", "nats"],
        Meta(description="Where events go. `nats` is not built in this version."),
    ] = "local"
    audit_sync: Annotated[
        Literal["group", "all"],
        Meta(
            description="`group`: sign, verify and wrap records reach the disk within 20 ms of the answer,"
            " all others before it. `all`: every answer waits for the disk."
        ),
    ] = "group"
    audit_witness_url: Annotated[
        str,
        Meta(
            description="A witness that cosigns the checkpoints of the audit log and is asked at the start"
            " (docs/formats/checkpoint.md).",
            extra={"form": "url"},
        ),
    ] = ""
    audit_witness_key: Annotated[
        str,
        Meta(
            description="The witness's public key, as `ronctl audit witness serve` prints it.",
            extra={"form": "verifier key"},
        ),
    ] = ""
    audit_witness_required: Annotated[
        bool,
        Meta(description="Without an answer of the witness no start, and not ready."),
    ] = False
    audit_digest_key_days: Annotated[
        int,
        Meta(
            description="Days after which the key of the audit log's input digests is replaced; 0: only by"
            " `ronctl audit rotate-digest-key` (docs/formats/audit-digest.md).",
            ge=0,
            le=3650,
        ),
    ] = 90
    audit_escrow_public_key: Annotated[
        str,
        Meta(
            description="The auditor's public file of `ronctl audit escrow-keygen`. Digest keys are sealed to"
            " it, in the log.",
            extra={"form": "path"},
        ),
    ] = ""
    audit_segment_bytes: Annotated[
        int, Meta(description="Size in bytes at which a new audit segment begins.", ge=1 << 16, le=1 << 32)
    ] = 1 << 26
    audit_segment_seconds: Annotated[
        int,
        Meta(
            description="Age in seconds at which a new audit segment begins; 0: by size alone.",
            ge=0,
            le=31_536_000,
        ),
    ] = 86_400
    audit_archive_dir: Annotated[
        str,
        Meta(
            description="Directory, of this log alone, to which ended audit segments are copied"
            " (docs/formats/audit-archive.md).",
            extra={"form": "path"},
        ),
    ] = ""
    audit_retention_days: Annotated[
        float,
        Meta(
            description="Days after which audit segments leave the data directory, without"
            " `audit_archive_dir` for good; 0: they stay.",
            ge=0.0,
            le=36500.0,
        ),
    ] = 0.0
    audit_sinks: Annotated[
        tuple[AuditSink, ...],
        Meta(
            description="Where copies of the audit records go while the server runs"
            " (docs/formats/audit-sinks.md). The variable holds the list as a TOML value.",
            extra={"form": "sinks"},
        ),
    ] = ()
    verify_only: Annotated[
        bool,
        Meta(description="Serve verification and reads alone; refuse what uses or changes private keys."),
    ] = False
    attestation_required: Annotated[
        bool, Meta(description="Sign only while an attestation holds. Not built in this version.")
    ] = False

    destroy_recent_use_days: Annotated[
        int,
        Meta(
            description="A key that was used within so many days is destroyed only with `force`; 0: any is"
            " destroyed without.",
            ge=0,
            le=3650,
        ),
    ] = 7

    pq_produce_hybrid: Annotated[
        bool,
        Meta(
            description="Let keys that the rollout selects sign hybrid. `ronctl policy set` overrides it for"
            " a tenant or key.",
            extra={"group": "Post-quantum policy"},
        ),
    ] = False
    pq_verify_mode: Annotated[
        Literal["or", "and", "pq_only"],
        Meta(
            description="Which components of a hybrid signature must verify. `ronctl policy` sets and locks"
            " it for a tenant or key."
        ),
    ] = "and"
    pq_rollout_percent: Annotated[
        int,
        Meta(
            description="Share of a tenant's keys, in percent, that sign hybrid if `pq_produce_hybrid`.",
            ge=0,
            le=100,
        ),
    ] = 0

    policy_accept_loss: Annotated[
        int,
        Meta(
            description="Start although `policy/` is lost, or an older copy: the number of entries that the"
            " refusal of the start names. Locks are kept, other settings of tenants and keys may be gone.",
            ge=0,
        ),
    ] = 0

    policy_url: Annotated[
        str,
        Meta(
            description="Decision point that is asked about every request, in the style of OPA's data API"
            " (docs/formats/external-policy.md); none when empty. Over plain http on loopback only, unless"
            " `policy_allow_plaintext`.",
            extra={"group": "External policy", "form": "document url"},
        ),
    ] = ""
    policy_fail_open: Annotated[
        tuple[FailOpenClass, ...],
        Meta(
            description="Classes of operations that go on when the decision point gives no answer; all others"
            " are refused with 503 `policy_unavailable`. `unwrap` includes datakey."
        ),
    ] = ()
    policy_timeout_ms: Annotated[
        int,
        Meta(
            description="How long a question may take in all, in milliseconds, name lookup and TLS included.",
            ge=10,
            le=10_000,
        ),
    ] = 250
    policy_cache_ttl_ms: Annotated[
        int,
        Meta(
            description="How long a worker remembers that a request was allowed, in milliseconds; 0 asks"
            " every time.",
            ge=0,
            le=3_600_000,
        ),
    ] = 5000
    policy_cache_deny_ttl_ms: Annotated[
        int,
        Meta(
            description="The same for a denial; never longer than `policy_cache_ttl_ms`.", ge=0, le=3_600_000
        ),
    ] = 1000
    policy_cache_max: Annotated[
        int, Meta(description="Decisions that each worker remembers at most.", ge=16, le=1 << 20)
    ] = 16384
    policy_connections: Annotated[
        int, Meta(description="Questions that each worker has under way at most.", ge=1, le=64)
    ] = 2
    policy_breaker_failures: Annotated[
        int,
        Meta(description="After so many failures in a row a worker stops asking for a while.", ge=1, le=1000),
    ] = 5
    policy_breaker_cooldown_ms: Annotated[
        int,
        Meta(description="How long, in milliseconds; then one question is tried.", ge=100, le=600_000),
    ] = 5000
    policy_token_file: Annotated[
        str,
        Meta(
            description="File whose first line is a bearer token for the decision point. Read again when it"
            " changes. Default: the systemd credential `ron-kms.policy-token`, if there is one.",
            extra={"form": "path"},
        ),
    ] = ""
    policy_tls_ca: Annotated[
        str,
        Meta(
            description="PEM file of the authorities of the decision point's certificate; the system's when"
            " empty.",
            extra={"form": "path"},
        ),
    ] = ""
    policy_tls_cert: Annotated[
        str,
        Meta(
            description="PEM file of a client certificate to show to it. Read again when it changes.",
            extra={"form": "path"},
        ),
    ] = ""
    policy_tls_key: Annotated[
        str, Meta(description="PEM file with the key of `policy_tls_cert`.", extra={"form": "path"})
    ] = ""
    policy_allow_plaintext: Annotated[
        bool,
        Meta(
            description="Ask a decision point that is not on loopback over plain http. Who can change what"
            " travels there decides."
        ),
    ] = False

    workers: Annotated[
        int,
        Meta(
            description="Worker processes; 0 is one for each usable CPU.",
            ge=0,
            le=256,
            extra={"group": "Capacity"},
        ),
    ] = 0
    threads: Annotated[
        int, Meta(description="Threads in each worker (docs/adr/0006: two are enough).", ge=1, le=64)
    ] = 2
    backlog: Annotated[
        int, Meta(description="Connections that the kernel holds unaccepted.", ge=16, le=65535)
    ] = 1024
    connections: Annotated[
        int, Meta(description="Open connections in each worker, idle ones included.", ge=16, le=65535)
    ] = 1000
    keepalive_ms: Annotated[
        int, Meta(description="How long an idle connection stays open, in milliseconds.", ge=0, le=4900)
    ] = 4000
    queue_deadline_ms: Annotated[
        int,
        Meta(
            description="A request that waited longer than this for a thread, in milliseconds, is answered"
            " without work: 429 to a tenant over its share while others wait, else 503 `saturated`.",
            ge=10,
            le=60000,
        ),
    ] = 1000
    request_timeout_ms: Annotated[
        int,
        Meta(
            description="A connection is cut when the head of a request takes longer than this, in"
            " milliseconds, or 10 s, or what follows it up to the answer takes longer than this (slow"
            " senders).",
            ge=1000,
            le=600000,
        ),
    ] = 30000
    drain_timeout_ms: Annotated[
        int,
        Meta(description="How long a stop waits for requests in flight, in milliseconds.", ge=0, le=600000),
    ] = 30000
    max_inflight_sign: Annotated[
        int,
        Meta(
            description="Cost units in flight, over all workers, of operations on private keys.",
            ge=1,
            le=1 << 20,
        ),
    ] = 512
    max_inflight_verify: Annotated[
        int, Meta(description="Cost units in flight, over all workers, of verifications.", ge=1, le=1 << 20)
    ] = 1024
    tenant_share_min: Annotated[
        float,
        Meta(
            description="Share of each cap that an active tenant is sure of while others push.",
            ge=0.0,
            le=1.0,
        ),
    ] = 0.05
    verify_cache_max: Annotated[
        int, Meta(description="Entries of the verify cache (64 bytes each).", ge=64, le=1 << 24)
    ] = 262144
    verify_cache_ttl_ms: Annotated[
        int, Meta(description="Life of a cached verdict, in milliseconds.", ge=100, le=86_400_000)
    ] = 300_000
    cap_ttl_max_seconds: Annotated[
        int, Meta(description="Longest life of a minted capability, in seconds.", ge=60, le=315_360_000)
    ] = 7_776_000

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="Least level that is logged.", extra={"group": "Logs"}),
    ] = "info"
    log_format: Annotated[Literal["logfmt", "json"], Meta(description="Form of the log lines.")] = "logfmt"

    @property
    def dev(self) -> bool:
        """True under the throw-away seal."""
        return self.seal == "dev"

    @property
    def tls(self) -> bool:
        """True if the API speaks TLS."""
        return bool(self.tls_cert)

    @property
    def api(self) -> Address:
        """``api_addr``, parsed."""
        return parse_address(self.api_addr)

    @property
    def metrics(self) -> Address:
        """``metrics_addr``, parsed."""
        return parse_address(self.metrics_addr)

    @property
    def data_path(self) -> Path:
        """``data_dir``, absolute."""
        return Path(self.data_dir).absolute()

    @property
    def audit_archive_path(self) -> Path | None:
        """``audit_archive_dir``, absolute; None for no archive."""
        return Path(self.audit_archive_dir).absolute() if self.audit_archive_dir else None

    @property
    def worker_count(self) -> int:
        """``workers``, or one for each CPU that this process may use."""
        return self.workers or len(os.sched_getaffinity(0))

    @property
    def seal_secret_path(self) -> str | None:
        """The file that opens the seal; None for ``dev``."""
        if self.seal == "passphrase":
            return self.seal_passphrase_file
        return self.seal_keyfile if self.seal == "keyfile" else None
