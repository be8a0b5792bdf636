"""Types and contracts of the native core (Rust, ``ext/cache_rs``).

Bytes in and out are raw unless a line says DER. No method returns private key bytes, and no
``repr`` shows any. Every error is a :class:`NativeError`; its message is safe to log.
"""

from typing import Final, final

__version__: Final[str]

class NativeError(Exception): ...
class InputError(NativeError): ...
class SealError(NativeError): ...
class DamagedRecord(NativeError): ...
class KeyMaterialError(NativeError): ...
class UnwrapError(NativeError): ...
class CustodyFull(NativeError): ...
class ArenaError(NativeError): ...
class AuditWriteError(NativeError): ...
class AuditHeld(AuditWriteError): ...
class AuditDamaged(NativeError): ...

# --- custody -----------------------------------------------------------------------------------

@final
class Custody:
    """The root key of one data directory, in locked, no-dump, zeroized memory.

    ``kind`` of a seal is ``passphrase`` (Argon2id over the file's first line), ``keyfile`` (32 or
    more bytes of a file, HKDF) or ``dev`` (key beside the data; throw-away). ``secret_path`` names
    the passphrase or key file; it is read natively, so that its bytes never become a Python object.
    """

    @staticmethod
    def create(kind: str, secret_path: str | None) -> tuple[Custody, bytes]:
        """Makes a fresh root key. Returns the custody and the seal file's content.

        Raises SealError (unreadable or too short secret), InputError (unknown kind).
        """

    @staticmethod
    def open(seal: bytes, kind: str, secret_path: str | None) -> Custody:
        """Opens a seal made by ``create``. Raises SealError: wrong secret, other kind, damaged."""

    def reseal(self, kind: str, secret_path: str | None) -> bytes:
        """The same root key under a new seal."""

    def relock(self) -> None:
        """To be called in each child after a fork: memory locks are not inherited."""

    def wipe(self) -> None:
        """Zeroizes the root key in this process; later calls raise SealError."""

    def regions(self) -> list[tuple[int, int]]:
        """Address ranges [start, end) of locked memory in this process (for the memory test)."""

    def mac(self, label: str, data: bytes) -> bytes:
        """HMAC-SHA-256 (32 bytes) under HKDF-SHA-256(root, label)."""

    def seal_secret(self, secret: bytes, identity: bytes) -> bytes:
        """Seals up to 64 KiB bound to ``identity``. For the capability root only (DESIGN 4)."""

    def open_secret(self, sealed: bytes, identity: bytes) -> bytes:
        """Inverse of ``seal_secret``. Raises DamagedRecord."""

    def generate(self, alg: str, identity: bytes) -> tuple[bytes, bytes]:
        """Generates a key natively. Returns (sealed record, public key). GIL released.

        Public key: raw for Ed25519 (32), ML-DSA-44/65/87 (1312/1952/2592), the composites
        (ML-DSA || Ed25519 or uncompressed point, 1344 to 2689) and X-Wing (1216);
        SubjectPublicKeyInfo DER for ES256, ES384, PS256 (RSA-3072); empty for AES-256-GCM and
        AES-KWP.
        """

    def unseal(self, sealed: bytes, identity: bytes) -> PrivateKey:
        """Opens a record into locked memory. Raises DamagedRecord, CustodyFull."""

    def generate_mac_key(self, identity: bytes) -> bytes:
        """Makes a random HMAC-SHA-256 key natively. Returns the sealed record."""

    def unseal_mac_key(self, sealed: bytes, identity: bytes) -> MacKey:
        """Inverse of ``generate_mac_key``; the key outlives a fork. Raises DamagedRecord, CustodyFull."""

    def import_params(self, mechanism: str, identity: bytes) -> tuple[bytes, bytes]:
        """Makes a one-time wrapping key pair. Returns (sealed private part, public part).

        ``RSA-OAEP-3072-SHA256-AES-KWP``: public part is SubjectPublicKeyInfo DER; what is imported
        is RSA-OAEP(SHA-256, MGF1-SHA-256, empty label)(32-byte AES key) || AES-KWP(key material).
        ``HPKE-X-Wing-HKDF-SHA256-AES-256-GCM``: public part is the raw X-Wing key (1216); what is
        imported is enc (1120) || ciphertext, info ``ron-kms import v1``, empty aad.
        """

    def import_key(
        self,
        mechanism: str,
        params: bytes,
        params_identity: bytes,
        wrapped: bytes,
        alg: str,
        identity: bytes,
    ) -> tuple[bytes, bytes]:
        """Unwraps key material and seals it. Returns (sealed record, public key) as ``generate``.

        Key material: PKCS#8 DER for Ed25519 (RFC 8410), ES256, ES384, PS256 (RSA 2048 to 4096),
        ML-DSA (RFC 9881: seed, expandedKey and both forms; seed needed) and the composites (draft:
        32-byte ML-DSA seed || 32-byte Ed25519 seed or ECPrivateKey, inside PKCS#8 or raw); raw 32 bytes for AES;
        raw 32-byte seed for X-Wing. Raises UnwrapError, KeyMaterialError, DamagedRecord.
        """

@final
class MacKey:
    """A handle on one key of keyed digests. Dropping it zeroizes the key."""

    def mac(self, data: bytes) -> bytes:
        """HMAC-SHA-256 (32 bytes)."""

    def seal_to(self, recipient: bytes, info: bytes, aad: bytes) -> bytes:
        """The key encrypted to an X-Wing public key (1216 bytes): HPKE as ``PrivateKey.wrap``, enc (1120)
        || ciphertext (32) || tag (16). Raises KeyMaterialError: not a public key."""

    def _pointer(self) -> int:
        """Address of the core object for the C interface (``ronkms_native.h``)."""

@final
class PrivateKey:
    """A handle on one unsealed key. Dropping it zeroizes the key."""

    @property
    def alg(self) -> str: ...
    @property
    def public(self) -> bytes: ...
    def sign(
        self,
        message: bytes,
        *,
        context: bytes = b"",
        input_kind: str = "message",
        p1363: bool = False,
        deterministic: bool = False,
    ) -> bytes:
        """Signs. ``input_kind``: ``message``; ``sha256``/``sha384`` (a digest; ES256, PS256 /
        ES384); ``mu`` (64 bytes; ML-DSA). ``context`` up to 255 bytes (ML-DSA, composites; others
        take none). ECDSA gives DER, r||s with ``p1363``. PS256: salt 32. ML-DSA is hedged unless
        ``deterministic``. Composites: draft-ietf-lamps-pq-composite-sigs. Raises InputError.
        """

    def sign_batch(
        self, messages: list[bytes], *, context: bytes = b"", background: bool = False
    ) -> list[bytes]:
        """``sign`` of many messages, GIL released, spread over cores; ``background``: by threads of a low
        scheduling priority, which leave the cores to others that want them."""

    def wrap(self, header: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """AES-256-GCM: salt (32) || nonce (12) || ciphertext || tag (16) under a message key
        HKDF-SHA-256(key, salt, info=header), with AAD len64(header) || header || aad.
        AES-KWP: RFC 5649; aad must be empty (InputError), header is not bound.
        X-Wing: HPKE base mode, X-Wing + HKDF-SHA256 + AES-256-GCM, enc (1120) || ciphertext,
        info=header, aad=aad. Plaintext 1 byte to 64 KiB.
        """

    def unwrap(self, header: bytes, aad: bytes, ciphertext: bytes) -> bytes:
        """Inverse of ``wrap``. Raises UnwrapError."""

    def open_mac_key(self, info: bytes, aad: bytes, sealed: bytes) -> MacKey:
        """Inverse of ``MacKey.seal_to``, for an X-Wing key. Raises UnwrapError, InputError."""

@final
class PublicKey:
    """A parsed, validated public key in the encoding of ``Custody.generate``."""

    def __new__(cls, alg: str, public: bytes) -> PublicKey:
        """Raises KeyMaterialError: wrong length, not on the curve, small order or non-canonical
        (Ed25519), RSA modulus under 2048 or over 4096 bits, even or tiny exponent."""

    @property
    def alg(self) -> str: ...
    def verify(
        self,
        message: bytes,
        signature: bytes,
        *,
        context: bytes = b"",
        input_kind: str = "message",
        p1363: bool = False,
    ) -> tuple[bool, ...]:
        """One verdict per component: one, or (ML-DSA, classical) for a composite. A malformed
        signature is False. Ed25519: cofactored, S < L, canonical A and R, A not of small order.
        Raises InputError for an ``input_kind`` or context that the algorithm does not take."""

def verify_batch(
    items: list[tuple[PublicKey, bytes, bytes, bytes]], *, background: bool = False
) -> list[tuple[bool, ...]]:
    """(key, message, signature, context) each; verdicts as ``PublicKey.verify``, in order; GIL
    released, spread over cores (``background`` as ``PrivateKey.sign_batch``); a failed Ed25519 batch falls
    back to single verification."""

def harden_process() -> None:
    """prctl(PR_SET_DUMPABLE, 0), RLIMIT_CORE 0; raises RLIMIT_MEMLOCK to its hard limit."""

# --- arena -------------------------------------------------------------------------------------

@final
class Arena:
    """The shared block (memfd) that the parent makes before it forks. See docs/CONCURRENCY.md.

    Dimensions of the metric matrices are given by name and referred to by index afterwards.
    """

    def __new__(
        cls,
        *,
        cache_entries: int,
        cache_ttl_ms: int,
        inflight_sign: int,
        inflight_verify: int,
        tenant_share_min: float,
        slots: int,
        tenants: int,
        ops: list[str],
        algs: list[str],
        outcomes: list[str],
        counters: list[str],
        gauges: list[str],
        generations: list[str],
    ) -> Arena: ...
    @property
    def size(self) -> int:
        """Bytes of the mapping."""

    def _pointer(self) -> int:
        """Address for the C interface (``ronkms_native.h``), valid while this object lives."""

    # worker slots
    def claim_slot(self) -> int:
        """Parent, before the fork. Raises ArenaError when none is free."""

    def enter_slot(self, slot: int) -> None:
        """Worker, first thing after the fork."""

    def reclaim_slot(self, slot: int) -> int:
        """Parent, after waitpid: gives back permits, locks and cache lines that the dead worker
        held. Returns how many permits it held."""

    # generations: change counters by index into ``generations``
    def generation(self, index: int) -> int: ...
    def bump(self, index: int) -> int: ...

    # admission. op_class 0 = sign (everything that uses private keys), 1 = verify
    def admit(self, op_class: int, tenant: bytes, cost: int) -> int:
        """A permit (>= 0), or -1: saturated, -2: tenant over its share. Never blocks. ``cost`` is in
        units of the class's limit, at least 1; a permit weighs at most a quarter of the limit."""

    def top_up(self, permit: int, cost: int) -> int:
        """Adds cost to a permit: 0 granted, -1 saturated, -2 over share (permit unchanged)."""

    def release(self, permit: int) -> None:
        """Raises ArenaError if this process does not hold the permit (released twice)."""


    # verify cache
    def cache_tag(self, parts: list[bytes]) -> bytes:
        """32-byte keyed BLAKE3 over the parts, each with its length; the key never leaves."""

    def cache_get(self, tag: bytes) -> int:
        """0..255: the stored verdict bits; -1 miss; -2 stale (expired; counted, never served)."""

    def cache_lookup(self, parts: list[bytes]) -> int:
        """``cache_get(cache_tag(parts))`` in one call. A tag may itself be a part: what stays the
        same for a key can be hashed once."""

    def cache_claim(self, tag: bytes) -> int:
        """As ``cache_get``, but on a miss waits up to 2 ms, GIL released, while another thread or
        process computes the same tag. After -1 or -2 the caller computes, and then calls
        ``cache_put`` or ``cache_abandon``."""

    def cache_abandon(self, tag: bytes) -> None:
        """Ends a claim without a verdict."""

    def cache_put(self, tag: bytes, verdict: int, negative: bool) -> None:
        """Stores verdict bits (0..255); ``negative`` (an invalid signature) goes to an area of its
        own. Ends a claim."""

    def cache_sweep(self, all_entries: bool = False) -> int:
        """Drops expired entries (or all). Returns how many."""

    # metrics
    def observe(self, op: int, alg: int, outcome: int, tenant: bytes, nanoseconds: int) -> None:
        """One finished operation: latency histogram (op, alg), ops_total (tenant, op, outcome)."""

    def count(self, counter: int, n: int = 1) -> None: ...
    def set_gauge(self, gauge: int, value: float) -> None: ...
    def snapshot(self) -> ArenaSnapshot: ...

@final
class ArenaSnapshot:
    """A consistent-enough copy of the metrics; taking it stops nobody."""

    @property
    def counters(self) -> dict[str, int]: ...
    @property
    def gauges(self) -> dict[str, float]: ...
    @property
    def bucket_bounds(self) -> list[float]:
        """Upper bounds in seconds, +Inf left out."""

    @property
    def histograms(self) -> list[tuple[str, str, list[int], float]]:
        """(op, alg, non-cumulative bucket counts with +Inf last, sum in seconds), non-empty only."""

    @property
    def ops(self) -> list[tuple[str, str, str, int]]:
        """(tenant, op, outcome, count); tenants beyond the table are ``other``."""

    @property
    def cache(self) -> dict[str, int]:
        """hit, miss, stale, size, capacity, age_ms (mean age of live entries), oldest_ms, ttl_ms."""

    @property
    def inflight(self) -> dict[str, tuple[int, int]]:
        """``sign`` and ``verify``: (inflight, limit)."""

# --- audit append ------------------------------------------------------------------------------

@final
class AuditLog:
    """One ordered, hash-chained log that all workers append to (docs/formats/audit.md).

    The arena holds the head under a robust mutex. A record is one JSON line
    ``{"seq":N,"prev":"<64 hex>","time":"<RFC 3339, microseconds, Z>",`` + body; ``prev`` is
    SHA-256(0x00 || previous line without its newline), which is also its RFC 9162 leaf hash.
    """

    @staticmethod
    def open(arena: Arena, directory: str, segment_bytes: int) -> AuditLog:
        """Parent, at start: verifies the newest segment, quarantines a torn tail (kept beside it
        as ``*.torn``), publishes the head. One log per arena. Raises AuditDamaged, AuditWriteError,
        InputError (``segment_bytes`` under 4096)."""

    def _pointer(self) -> int:
        """Address for the C interface (``ronkms_native.h``), valid while this object lives."""

    @property
    def recovered_bytes(self) -> int:
        """Bytes of torn tails quarantined by ``open`` and after workers died; 0 if none."""

    @property
    def durable(self) -> int:
        """Number of records known to be fsynced."""

    @property
    def head(self) -> tuple[int, str]:
        """(number of records, hex of the last record's leaf hash)."""

    def after_fork(self) -> None:
        """Worker: opens its own descriptors and starts the native group-fsync thread (20 ms)."""

    def require_lease(self) -> None:
        """Worker: from now on this process appends only while the lease of the required sinks lasts."""

    def grant_lease(self, milliseconds: int) -> None:
        """The required sinks take the records: every process that needs the lease may append for so long
        from now on; 0 ends it at once. Over when nobody renews it."""

    def check_lease(self) -> None:
        """Raises AuditHeld if this process needs the lease and it has run out."""

    def append(self, body: bytes, *, anyway: bool = False) -> int:
        """``body`` is the rest of the JSON object after the chain fields, e.g. ``"op":"sign"}``, on
        one line, at most 1 MiB (InputError). Written (survives a crash of the process) when it
        returns the sequence number. The GIL is held unless it has to wait. Raises AuditHeld unless
        ``anyway`` if the lease has run out, and AuditWriteError; from then on the log is latched
        closed, but for a full disk, which is waited out."""

    def wait_durable(self, seq: int) -> None:
        """Returns when record ``seq`` is fsynced; GIL released; group commit over all workers.
        Raises AuditWriteError."""

    def roll(self) -> bool:
        """Begins a new segment unless the newest one is empty; the old one is on disk when it returns.
        False: there was nothing to end. Raises AuditWriteError."""

    def writable(self) -> bool:
        """False once latched by an error, when the file was deleted or replaced, or while the disk
        is full."""

_C_API: Final[object]
"""Capsule ``ronkms_native._native._C_API``; see ``ronkms_native.h``."""

def follow_log(data: bytes, record: int, leaf: bytes, limit: int) -> tuple[bytes, int]:
    """Takes whole lines from the beginning of ``data``, at most ``limit``, as long as each is the record that is
    due by its number and link: ``record`` with the leaf hash ``leaf`` (32 bytes) before it, then the next.

    Returns their leaf hashes, 32 bytes each, and how many bytes of ``data`` they are, newlines included; fewer
    than are there: the line behind them does not continue the chain. GIL released. Raises InputError."""

def alike_records(lines: bytes) -> list[tuple[bytes, int]]:
    """Groups whole lines of the log that differ in their chain fields, fraction of the second, ``corr_id`` and
    ``digest`` alone: (the first line, without its newline; how many they are).

    Groups do not reach beyond a change of the second; a record that lacks one of the fields is one of its own.
    Nothing else is checked. GIL released."""

def parent_hashes(hashes: bytes) -> bytes:
    """Of nodes of one level of a Merkle tree the nodes above them (RFC 9162 section 2.1.1), 32 bytes each, one
    behind the other. A last one without a neighbour is left out. GIL released."""
