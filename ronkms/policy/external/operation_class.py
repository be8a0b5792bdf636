"""Classes of operations: what an operator may let go on without a decision, each by itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from ronkms.domain.operation import Operation


class OperationClass(StrEnum):
    """As in ``policy_fail_open`` and docs/formats/external-policy.md."""

    SIGN = "sign"
    VERIFY = "verify"
    WRAP = "wrap"
    UNWRAP = "unwrap"
    """What gives plain secrets away: unwrap and datakey."""
    LIFECYCLE = "lifecycle"
    READ = "read"
    ADMIN = "admin"


DATA_KEY: Final = "datakey"
"""The action that needs the right ``wrap`` and is of class ``unwrap``."""

_CLASSES: Final = {
    Operation.SIGN: OperationClass.SIGN,
    Operation.VERIFY: OperationClass.VERIFY,
    Operation.WRAP: OperationClass.WRAP,
    Operation.UNWRAP: OperationClass.UNWRAP,
    Operation.CREATE: OperationClass.LIFECYCLE,
    Operation.IMPORT: OperationClass.LIFECYCLE,
    Operation.ROTATE: OperationClass.LIFECYCLE,
    Operation.STATE: OperationClass.LIFECYCLE,
    Operation.READ: OperationClass.READ,
    Operation.AUDIT: OperationClass.ADMIN,
    Operation.ADMIN: OperationClass.ADMIN,
}


def class_of(operation: Operation, action: str) -> OperationClass:
    """``action``: the ``operationId`` of the API."""
    return OperationClass.UNWRAP if action == DATA_KEY else _CLASSES[operation]
