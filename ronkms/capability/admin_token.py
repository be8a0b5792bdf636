"""The token of a server under the throw-away dev seal: all operations for the tenant ``default``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ronkms.capability.mint import CapabilityMint, Minted
from ronkms.capability.pattern import ANY
from ronkms.capability.registry import DIRECTORY
from ronkms.domain.operation import Operation
from ronkms.journal.durable_file import replace_file

FILE: Final = "admin.token"
TENANT: Final = "default"
TTL_SECONDS: Final = 30 * 24 * 3600


def write_admin_token(mint: CapabilityMint, data_directory: Path) -> Minted:
    """Mints the token and writes it, with a newline, to ``capability/admin.token`` (mode 0600, replaced
    as a whole). Raises OSError."""
    rights = [(operation, ANY) for operation in Operation]
    minted = mint.mint(TENANT, rights, min(TTL_SECONDS, mint.max_ttl_seconds))
    replace_file(data_directory / DIRECTORY / FILE, minted.token.encode() + b"\n")
    return minted
