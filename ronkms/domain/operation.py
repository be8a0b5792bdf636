"""The operations that a capability grants and the audit log names."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Operation(StrEnum):
    """DESIGN 4, Capabilities. ``ADMIN`` implies none of the others."""

    SIGN = "sign"
    VERIFY = "verify"
    WRAP = "wrap"
    UNWRAP = "unwrap"
    CREATE = "create"
    IMPORT = "import"
    ROTATE = "rotate"
    STATE = "state"
    READ = "read"
    AUDIT = "audit"
    ADMIN = "admin"


class Outcome(StrEnum):
    """How an operation ended, as ``kms_ops_total{outcome}`` and the audit log name it."""

    OK = "ok"
    INVALID = "invalid"
    """A verification that answered ``valid: false``."""
    DENIED = "denied"
    REJECTED = "rejected"
    """The caller's fault: malformed, not found, conflict, disabled, policy."""
    SHED = "shed"
    """429, 503 ``saturated``, or past its deadline."""
    ERROR = "error"


ADMISSION_SIGN: Final = 0
"""Class of everything that uses private keys or changes state."""
ADMISSION_VERIFY: Final = 1

DURABLE: Final = frozenset(
    {Operation.UNWRAP, Operation.CREATE, Operation.IMPORT, Operation.ROTATE, Operation.STATE, Operation.ADMIN}
)
"""Operations whose audit record is on disk (fsync) before the answer."""
