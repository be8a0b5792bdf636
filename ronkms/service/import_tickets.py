"""One-time wrapping keys for imports, kept sealed on disk so that any worker may take one, once.

A ticket is a file named by its import id: a JSON object with tenant, backend, mechanism, expiry and the
sealed private part. The sealed part is bound to all of them by its identity, so that a ticket altered on
disk does not open. Taking a ticket renames the file first: of several takers one wins.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from pathlib import Path
from typing import Final

import msgspec

from ronkms.errors import BackendUnavailable, BadRequest, NotFound
from ronkms.journal.durable_file import make_directory, sync_directory, write_new

LIFETIME_SECONDS: Final = 3600
_IMPORT_ID: Final = re.compile(r"[0-9a-f]{32}")
_UNKNOWN: Final = "import_id is unknown, used or expired; ask for new import params"


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """``sealed``: the private part, sealed under ``identity``. ``expires_at``: Unix seconds."""

    import_id: str
    tenant: str
    backend: str
    mechanism: str
    expires_at: int
    sealed: bytes = b""

    def identity(self) -> bytes:
        """What the private part is bound to: each part with its length."""
        parts = (
            b"ron-kms import v1",
            self.import_id.encode(),
            self.tenant.encode(),
            self.backend.encode(),
            self.mechanism.encode(),
            str(self.expires_at).encode(),
        )
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


class ImportTickets:
    """The directory of tickets. Mode 0700; made on the first use."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def new(self, tenant: str, backend: str, mechanism: str, now: int) -> Ticket:
        """A ticket without its sealed part, not stored yet."""
        return Ticket(
            import_id=secrets.token_hex(16),
            tenant=tenant,
            backend=backend,
            mechanism=mechanism,
            expires_at=now + LIFETIME_SECONDS,
        )

    def store(self, ticket: Ticket) -> None:
        """Durable when it returns. Raises BackendUnavailable (disk)."""
        path = self._directory / ticket.import_id
        fresh = path.with_suffix(".new")
        try:
            make_directory(self._directory)
            write_new(fresh, msgspec.json.encode(ticket))
            fresh.rename(path)
            sync_directory(self._directory)
        except OSError as error:
            raise BackendUnavailable(f"cannot store import params: {error.strerror}") from error

    def take(self, import_id: str, tenant: str, now: int) -> Ticket:
        """The ticket, which nobody can take again. Raises BadRequest (malformed id),
        NotFound (unknown, used, expired, foreign)."""
        ticket = self._read(import_id)
        if ticket.tenant != tenant or ticket.import_id != import_id or ticket.expires_at <= now:
            raise NotFound(_UNKNOWN)
        path = self._directory / import_id
        taken = path.with_suffix(".taken")
        try:
            path.rename(taken)
            sync_directory(self._directory)
        except FileNotFoundError:
            raise NotFound(_UNKNOWN) from None
        taken.unlink(missing_ok=True)
        return ticket

    def drop_expired(self, now: int) -> int:
        """Removes tickets past their lifetime and what a crash left. Returns how many."""
        dropped = 0
        if not self._directory.is_dir():
            return 0
        for path in self._directory.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime + LIFETIME_SECONDS <= now:
                    path.unlink()
                    dropped += 1
        return dropped

    def _read(self, import_id: str) -> Ticket:
        if _IMPORT_ID.fullmatch(import_id) is None:
            raise BadRequest("import_id must be 32 hex digits", field="/import_id")
        try:
            return msgspec.json.decode((self._directory / import_id).read_bytes(), type=Ticket)
        except FileNotFoundError:
            raise NotFound(_UNKNOWN) from None
        except (OSError, msgspec.MsgspecError) as error:
            raise BackendUnavailable("the stored import params cannot be read; ask for new ones") from error
